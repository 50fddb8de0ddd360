//! The settings for sending spans.

use std::time::Duration;

use mycelium_core::Code;
use thiserror::Error;

use crate::otlp::destination::Destination;
use crate::otlp::{Endpoint, EndpointError, HeaderError};

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
#[derive(Clone, Debug)]
pub struct OtlpTraces {
    pub(super) to: Destination,
    sample: Option<f64>,
    pub(super) delay: Duration,
    pub(super) batch: usize,
    pub(super) queue: usize,
}

/// Why spans cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// The URL of the collector is invalid.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A header is invalid.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The timeout is zero, so there is no time to send anything.
    #[error("invalid timeout of a batch of spans: expected more than 0 s")]
    Timeout,
    /// The queue has no room, or too much.
    #[error("invalid queue for {spans} spans: expected room for 1 to 1,048,576")]
    Queue {
        /// The requested number of spans.
        spans: usize,
    },
    /// A batch has no span, or more spans than the queue has room for.
    #[error("invalid batch of {spans} spans: expected 1 to {queue}, the places of the queue")]
    Batch {
        /// The requested number of spans.
        spans: usize,
        /// The number of spans that the queue holds.
        queue: usize,
    },
}

impl OtlpError {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            OtlpError::Endpoint(_) => Code::COLLECTOR_URL,
            OtlpError::Header(_) => Code::COLLECTOR_HEADER,
            OtlpError::Timeout => Code::COLLECTOR_TIMEOUT,
            OtlpError::Queue { .. } => Code::SPAN_QUEUE,
            OtlpError::Batch { .. } => Code::SPAN_BATCH,
        }
    }
}

/// The most spans that a queue may hold.
const MOST: usize = 1 << 20;

impl OtlpTraces {
    /// Sends spans to the collector with this URL: `http://`, a host and a port. The path is
    /// `/v1/traces`, below the path of the URL if it has one.
    #[must_use]
    pub fn new(url: &str) -> OtlpTraces {
        OtlpTraces {
            to: Destination::new(url),
            sample: None,
            delay: Duration::from_secs(1),
            batch: 512,
            queue: 4096,
        }
    }

    /// Records this share of the traces that begin in the node, from 0 to 1. The default is all. A
    /// trace that began in another node is recorded if that node has chosen it.
    #[must_use]
    pub fn sample(mut self, share: f64) -> OtlpTraces {
        self.sample = Some(share);
        self
    }

    /// Sets `service.namespace` of all services, which distinguishes them from services of the same
    /// name in other applications. By default it is absent.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> OtlpTraces {
        self.to.namespace = Some(namespace.to_owned());
        self
    }

    /// Adds a header to each request, such as `authorization`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> OtlpTraces {
        self.to.set_header(name, value);
        self
    }

    /// Sets how long a batch may take, with all of its attempts. The default is 10 s. Spans of a
    /// batch that takes longer are dropped.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> OtlpTraces {
        self.to.timeout = timeout;
        self
    }

    /// Sets how long the end of the node may wait for the collector to take the remaining spans.
    /// The default is 2 s.
    #[must_use]
    pub fn flush(mut self, flush: Duration) -> OtlpTraces {
        self.to.flush = flush;
        self
    }

    /// Sets how long a span waits for others of its batch. The default is 1 s.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> OtlpTraces {
        self.delay = delay;
        self
    }

    /// Sets the most spans of a batch. The default is 512.
    #[must_use]
    pub fn batch(mut self, spans: usize) -> OtlpTraces {
        self.batch = spans;
        self
    }

    /// Sets the most spans that wait, rounded up to a power of two; further spans are dropped. The
    /// default is 4,096.
    #[must_use]
    pub fn queue(mut self, spans: usize) -> OtlpTraces {
        self.queue = spans;
        self
    }

    /// The share of traces, if it was set.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        self.sample
    }

    /// Replaces the URL of the collector.
    #[must_use]
    pub fn to(mut self, url: &str) -> OtlpTraces {
        self.to.endpoint = Endpoint::parse(url);
        self
    }

    /// Checks the settings. Returns the endpoint of the collector, and the size of the queue.
    pub(super) fn check(&self) -> Result<(Endpoint, usize), OtlpError> {
        let endpoint = self.to.check::<OtlpError>()?;
        if self.to.timeout.is_zero() {
            return Err(OtlpError::Timeout);
        }
        if !(1..=MOST).contains(&self.queue) {
            return Err(OtlpError::Queue { spans: self.queue });
        }
        let queue = self.queue.next_power_of_two().max(2);
        if !(1..=queue).contains(&self.batch) {
            return Err(OtlpError::Batch { spans: self.batch, queue });
        }
        Ok((endpoint, queue))
    }
}
