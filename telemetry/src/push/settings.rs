//! The settings for pushing metrics.

use std::time::Duration;

use crate::otlp::{Endpoint, Otlp, OtlpError};

/// The settings for pushing the metrics of a node to a collector that accepts OTLP over HTTP, such
/// as the OpenTelemetry Collector, or Prometheus with its OTLP receiver.
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
/// Invalid settings, such as a URL without a port, are errors when a node is built.
pub type OtlpMetrics = Otlp<OfMetrics>;

/// The settings that only metrics have.
#[derive(Clone, Debug)]
pub struct OfMetrics {
    pub(super) interval: Duration,
}

impl Default for OfMetrics {
    fn default() -> OfMetrics {
        OfMetrics { interval: Duration::from_secs(10) }
    }
}

impl Otlp<OfMetrics> {
    /// The shortest [`interval`](OtlpMetrics::interval).
    pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

    /// Sets the time between two pushes, at least 1 s; 10 s by default. The first push comes after
    /// this time, the last one at the end of the node.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> OtlpMetrics {
        self.own.interval = interval;
        self
    }

    /// Checks all settings, including the interval. Returns the endpoint of the collector.
    pub(super) fn check_all(&self) -> Result<Endpoint, OtlpError> {
        let (endpoint, interval) = (self.check("a request with metrics")?, self.own.interval);
        match interval < OtlpMetrics::SHORTEST_INTERVAL {
            true => Err(OtlpError::Interval { interval }),
            false => Ok(endpoint),
        }
    }
}
