//! The settings that spans and metrics share: the collector, and time limits for requests.

use std::time::Duration;

use mycelium_core::Code;
use thiserror::Error;

use super::{Endpoint, EndpointError, HeaderError, Headers};

/// The settings for sending spans ([`OtlpTraces`](crate::spans::OtlpTraces)) or metrics
/// ([`OtlpMetrics`](crate::push::OtlpMetrics)) to a collector. `S` has the settings of spans alone,
/// or of metrics alone. Invalid settings become an error when the node is built, so no method here
/// returns one.
#[derive(Clone, Debug)]
pub struct Otlp<S> {
    endpoint: Result<Endpoint, EndpointError>,
    pub(crate) headers: Headers,
    header_error: Option<HeaderError>,
    /// The value of `service.namespace`.
    pub(crate) namespace: Option<String>,
    pub(crate) timeout: Duration,
    /// The longest time that the end of the node may wait for the last requests.
    pub(crate) flush: Duration,
    pub(crate) own: S,
}

impl<S: Default> Otlp<S> {
    /// Creates settings for the collector with this URL: `http://`, a host and a port. The path is
    /// `/v1/traces` or `/v1/metrics`, after the path of the URL if it has one.
    #[must_use]
    pub fn new(url: &str) -> Otlp<S> {
        Otlp {
            endpoint: Endpoint::parse(url),
            headers: Headers::default(),
            header_error: None,
            namespace: None,
            timeout: Duration::from_secs(10),
            flush: Duration::from_secs(2),
            own: S::default(),
        }
    }
}

impl<S> Otlp<S> {
    /// Replaces the URL of the collector.
    #[must_use]
    pub fn to(mut self, url: &str) -> Otlp<S> {
        self.endpoint = Endpoint::parse(url);
        self
    }

    /// Sets `service.namespace`, which distinguishes services and nodes of the same name in
    /// different applications. It is absent by default.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Otlp<S> {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Adds a header to each request, such as `authorization`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Otlp<S> {
        if let Err(error) = self.headers.set(name, value) {
            self.header_error.get_or_insert(error);
        }
        self
    }

    /// Sets the time limit for a batch of spans with all its attempts, or for a request with
    /// metrics; 10 s by default. Spans of a batch that takes longer are dropped. Metrics that the
    /// collector did not accept in time are in the next push, with newer values.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Otlp<S> {
        self.timeout = timeout;
        self
    }

    /// Sets how long the end of the node may wait for the collector to accept the remaining spans,
    /// or the last values; 2 s by default. With 0 s the last values of metrics are not sent.
    #[must_use]
    pub fn flush(mut self, flush: Duration) -> Otlp<S> {
        self.flush = flush;
        self
    }

    /// Checks these settings and returns the endpoint of the collector. `of` says what the timeout
    /// is for.
    pub(crate) fn check(&self, of: &'static str) -> Result<Endpoint, OtlpError> {
        let endpoint = self.endpoint.clone()?;
        match &self.header_error {
            Some(error) => Err(error.clone().into()),
            None if self.timeout.is_zero() => Err(OtlpError::Timeout { of }),
            None => Ok(endpoint),
        }
    }
}

/// Why spans or metrics cannot be sent to a collector.
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
    #[error("invalid timeout of {of}: expected more than 0 s")]
    Timeout {
        /// What the timeout is for: a batch of spans, or a request with metrics.
        of: &'static str,
    },
    /// The queue would have no room, or too much.
    #[error("invalid queue for {spans} spans: expected room for 1 to 1,048,576")]
    Queue {
        /// The requested number of spans.
        spans: usize,
    },
    /// A batch would have no span, or more spans than the queue.
    #[error("invalid batch of {spans} spans: expected 1 to {queue}, the places of the queue")]
    Batch {
        /// The requested number of spans.
        spans: usize,
        /// The number of spans that the queue has room for.
        queue: usize,
    },
    /// Metrics would be pushed too often.
    #[error("invalid interval {interval:?} between pushes of metrics: expected 1 s or more")]
    Interval {
        /// The requested interval.
        interval: Duration,
    },
}

impl OtlpError {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            OtlpError::Endpoint(_) => Code::COLLECTOR_URL,
            OtlpError::Header(_) => Code::COLLECTOR_HEADER,
            OtlpError::Timeout { .. } => Code::COLLECTOR_TIMEOUT,
            OtlpError::Queue { .. } => Code::SPAN_QUEUE,
            OtlpError::Batch { .. } => Code::SPAN_BATCH,
            OtlpError::Interval { .. } => Code::PUSH_INTERVAL,
        }
    }
}
