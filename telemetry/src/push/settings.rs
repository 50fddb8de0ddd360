//! The settings for pushing metrics.

use std::time::Duration;

use mycelium_core::Code;
use thiserror::Error;

use crate::otlp::destination::Destination;
use crate::otlp::{Endpoint, EndpointError, HeaderError};

/// The settings for pushing the metrics of a node to a collector that speaks OTLP over HTTP, such
/// as the OpenTelemetry Collector, or Prometheus with its receiver for OTLP.
///
/// ```
/// use std::time::Duration;
///
/// use mycelium_telemetry::push::OtlpMetrics;
///
/// let metrics = OtlpMetrics::new("http://127.0.0.1:4318")
///     .interval(Duration::from_secs(60))
///     .namespace("bandit")
///     .header("authorization", "Bearer abc")
///     .timeout(Duration::from_secs(5));
/// # drop(metrics);
/// ```
///
/// Mistakes, such as a URL without a port, are errors when a node is built.
#[derive(Clone, Debug)]
pub struct OtlpMetrics {
    pub(super) to: Destination,
    pub(super) interval: Duration,
}

/// Why metrics cannot be pushed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OtlpMetricsError {
    /// The URL of the collector is invalid.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A header is invalid.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The timeout is zero, so there is no time to send anything.
    #[error("invalid timeout of a request with metrics: expected more than 0 s")]
    Timeout,
    /// Metrics would be pushed too often.
    #[error("invalid interval {interval:?} between pushes of metrics: expected 1 s or more")]
    Interval {
        /// The requested interval.
        interval: Duration,
    },
}

impl OtlpMetricsError {
    /// Returns the code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            OtlpMetricsError::Endpoint(_) => Code::COLLECTOR_URL,
            OtlpMetricsError::Header(_) => Code::COLLECTOR_HEADER,
            OtlpMetricsError::Timeout => Code::COLLECTOR_TIMEOUT,
            OtlpMetricsError::Interval { .. } => Code::PUSH_INTERVAL,
        }
    }
}

impl OtlpMetrics {
    /// The shortest [`interval`](OtlpMetrics::interval).
    pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

    /// Sends metrics to the collector with this URL: `http://`, a host and a port. The path is
    /// `/v1/metrics`, below the path of the URL if it has one.
    #[must_use]
    pub fn new(url: &str) -> OtlpMetrics {
        OtlpMetrics { to: Destination::new(url), interval: Duration::from_secs(10) }
    }

    /// Sets the time between two pushes, 1 s or more. The default is 10 s. The first push comes
    /// after this time, and the last one at the end of the node.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> OtlpMetrics {
        self.interval = interval;
        self
    }

    /// Sets `service.namespace` of the node, which distinguishes it from nodes of the same name in
    /// other applications. By default it is absent.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> OtlpMetrics {
        self.to.namespace = Some(namespace.to_owned());
        self
    }

    /// Adds a header to each request, such as `authorization`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> OtlpMetrics {
        self.to.set_header(name, value);
        self
    }

    /// Sets how long a request may take. The default is 10 s. Values that the collector did not
    /// take by then are in the next push, with newer values.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> OtlpMetrics {
        self.to.timeout = timeout;
        self
    }

    /// Sets how long the end of the node may wait for the collector to take the last values. The
    /// default is 2 s. With 0 s they are not sent.
    #[must_use]
    pub fn flush(mut self, flush: Duration) -> OtlpMetrics {
        self.to.flush = flush;
        self
    }

    /// Replaces the URL of the collector.
    #[must_use]
    pub fn to(mut self, url: &str) -> OtlpMetrics {
        self.to.endpoint = Endpoint::parse(url);
        self
    }

    /// Checks the settings. Returns the endpoint of the collector.
    pub(super) fn check(&self) -> Result<Endpoint, OtlpMetricsError> {
        let endpoint = self.to.check::<OtlpMetricsError>()?;
        if self.to.timeout.is_zero() {
            return Err(OtlpMetricsError::Timeout);
        }
        if self.interval < OtlpMetrics::SHORTEST_INTERVAL {
            return Err(OtlpMetricsError::Interval { interval: self.interval });
        }
        Ok(endpoint)
    }
}
