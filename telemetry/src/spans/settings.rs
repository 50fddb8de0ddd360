//! The settings for sending spans.

use std::time::Duration;

use crate::otlp::{Endpoint, Otlp, OtlpError};

/// The settings for sending the spans of a node to a collector that accepts OTLP over HTTP, such as
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
/// Invalid settings, such as a URL without a port, are errors when a node is built.
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

/// The largest number of spans in a queue.
const MOST: usize = 1 << 20;

impl Otlp<OfTraces> {
    /// Sets the share, from 0 to 1, of the traces beginning in this node that are recorded; all by
    /// default. A trace that began in another node is recorded if that node has sampled it.
    #[must_use]
    pub fn sample(mut self, share: f64) -> OtlpTraces {
        self.own.sample = Some(share);
        self
    }

    /// Sets how long a span waits for others of its batch; 1 s by default.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> OtlpTraces {
        self.own.delay = delay;
        self
    }

    /// Sets the largest number of spans in a batch; 512 by default.
    #[must_use]
    pub fn batch(mut self, spans: usize) -> OtlpTraces {
        self.own.batch = spans;
        self
    }

    /// Sets the size of the queue in spans, rounded up to a power of two; 4,096 by default. When it
    /// is full, spans are dropped.
    #[must_use]
    pub fn queue(mut self, spans: usize) -> OtlpTraces {
        self.own.queue = spans;
        self
    }

    /// Returns the share of sampled traces, if it was set.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        self.own.sample
    }

    /// Checks all settings, including the queue and the batch. Returns the endpoint of the
    /// collector and the size of the queue.
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
