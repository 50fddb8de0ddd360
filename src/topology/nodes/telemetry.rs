//! The section `telemetry`, and the address of a node's metrics. `collectors.rs` has the keys about
//! collectors.

use std::net::SocketAddr;
use std::time::Duration;

use serde_spanned::Spanned;

use crate::topology::Topology;
use crate::topology::error::TopologyError;
use crate::topology::keys::values::Text;

impl Topology {
    /// Checks that the file has `expose = true` if other hosts can reach an address of metrics.
    /// Also checks the collectors.
    pub(crate) fn check_telemetry(&self) -> Result<(), TopologyError> {
        let nodes = self.sections.node.values();
        let addresses = nodes.filter_map(|node| node.listen_metrics.as_ref());
        self.check_collectors()?;
        let is_far = |key: &&Spanned<Text<SocketAddr>>| !key.as_ref().0.ip().is_loopback();
        let far = { addresses }.find(is_far).filter(|_| !self.exposes_metrics());
        let Some(far) = far else { return Ok(()) };
        let message = format!(
            "other hosts could read the metrics at `{}`: expected an address of this host, such as \
             `127.0.0.1:9464`, or `expose = true` in `[telemetry]`",
            far.as_ref().0
        );
        Err(self.file.contradiction(far.span(), message))
    }

    /// Returns the address at which a node serves its metrics, if the file sets it.
    #[cfg_attr(not(feature = "prometheus"), allow(dead_code, reason = "the key is an error"))]
    pub(crate) fn metrics_address(&self, node: &str) -> Option<SocketAddr> {
        Some(self.sections.node.get(node)?.listen_metrics.as_ref()?.as_ref().0)
    }

    /// Returns whether other hosts may read the metrics of nodes.
    pub(crate) fn exposes_metrics(&self) -> bool {
        self.sections.telemetry.expose.as_ref().is_some_and(|key| *key.as_ref())
    }

    /// Returns how often metrics are exported, if the file sets it.
    #[cfg_attr(not(feature = "facade"), allow(dead_code, reason = "it is for a recorder"))]
    pub(crate) fn telemetry_interval(&self) -> Option<Duration> {
        self.sections.telemetry.interval.as_ref().map(|key| key.as_ref().0)
    }

    /// Returns the maximum number of label sets of a metrics family, if the file sets it.
    #[cfg_attr(
        not(any(feature = "prometheus", feature = "facade", feature = "otlp")),
        allow(dead_code, reason = "the key is an error")
    )]
    pub(crate) fn label_sets(&self) -> Option<usize> {
        self.sections.telemetry.label_sets.as_ref().map(|key| key.as_ref().0)
    }
}
