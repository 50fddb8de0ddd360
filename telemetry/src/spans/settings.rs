//! The settings for sending spans.

use std::time::Duration;

use crate::otlp::{Endpoint, Otlp, OtlpError};

/// The settings for sending the spans of a node to a collector that speaks OTLP over HTTP, such as
/// the OpenTelemetry Collector, Jaeger or Tempo.
///
/// ```
/// use std::time::Duration;
///
/// use mycelium_telemetry::spans::OtlpTraces;
///
/// let traces = OtlpTraces::new("http://127.0.0.1:4318")
///     .sample(0.1)
///     .namespace("bandit")
///     .header("authorization", "Bearer abc")
///     .timeout(Duration::from_secs(5));
/// # drop(traces);
/// ```
///
/// Mistakes, such as a URL without a port, are errors when a node is built.
pub type OtlpTraces = Otlp<OfTraces>;

/// The settings that only spans have.
#[derive(Clone, Debug)]
pub struct OfTraces {
    sample: Option<f64>,
    pub(super) delay: Duration,
    pub(super) batch: usize,
    pub(super) queue: usize,
}

impl Default for OfTraces {
    fn default() -> OfTraces {
        OfTraces { sample: None, delay: Duration::from_secs(1), batch: 512, queue: 4096 }
    }
}

/// The most spans that a queue may hold.
const MOST: usize = 1 << 20;

impl Otlp<OfTraces> {
    /// Records this share of the traces that begin in the node, from 0 to 1. The default is all. A
    /// trace that began in another node is recorded if that node has chosen it.
    #[must_use]
    pub fn sample(mut self, share: f64) -> OtlpTraces {
        self.own.sample = Some(share);
        self
    }

    /// Sets how long a span waits for others of its batch. The default is 1 s.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> OtlpTraces {
        self.own.delay = delay;
        self
    }

    /// Sets the most spans of a batch. The default is 512.
    #[must_use]
    pub fn batch(mut self, spans: usize) -> OtlpTraces {
        self.own.batch = spans;
        self
    }

    /// Sets the most spans that wait, rounded up to a power of two; further spans are dropped. The
    /// default is 4,096.
    #[must_use]
    pub fn queue(mut self, spans: usize) -> OtlpTraces {
        self.own.queue = spans;
        self
    }

    /// The share of traces, if it was set.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        self.own.sample
    }

    /// Checks the queue and the batch, too. Returns the endpoint of the collector, and the size of
    /// the queue.
    pub(super) fn check_all(&self) -> Result<(Endpoint, usize), OtlpError> {
        let endpoint = self.check("a batch of spans")?;
        let OfTraces { batch, queue, .. } = self.own;
        if !(1..=MOST).contains(&queue) {
            return Err(OtlpError::Queue { spans: queue });
        }
        let queue = queue.next_power_of_two().max(2);
        if !(1..=queue).contains(&batch) {
            return Err(OtlpError::Batch { spans: batch, queue });
        }
        Ok((endpoint, queue))
    }
}
