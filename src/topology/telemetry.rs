//! The section `telemetry`, and the address of a node's metrics.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use toml::Spanned;

use super::Topology;
use super::error::{Problem, TopologyError};
use super::values::Span;

/// What all nodes share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TelemetrySection {
    expose: Option<Spanned<bool>>,
    interval: Option<Spanned<Interval>>,
    label_sets: Option<Spanned<LabelSets>>,
}

/// An address of this host, or one that others reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct MetricsAddress(SocketAddr);

/// A time that is not 0.
#[derive(Clone, Copy, Debug)]
struct Interval(Duration);

/// A number of sets of label values, at least 1.
#[derive(Clone, Copy, Debug)]
struct LabelSets(usize);

impl<'de> Deserialize<'de> for MetricsAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MetricsAddress, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
        address.map(MetricsAddress).ok_or_else(|| {
            D::Error::custom(format!(
                "invalid address `{text}`: expected an IP address and a port, such as \
                 `127.0.0.1:9464`"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        match Span::deserialize(deserializer)? {
            Span(Duration::ZERO) => {
                Err(D::Error::custom("invalid interval: expected more than 0 s"))
            }
            Span(interval) => Ok(Interval(interval)),
        }
    }
}

impl<'de> Deserialize<'de> for LabelSets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LabelSets, D::Error> {
        match u32::deserialize(deserializer)? {
            0 => Err(D::Error::custom("invalid number of label sets 0: expected 1 or more")),
            most => Ok(LabelSets(most as usize)),
        }
    }
}

impl Topology {
    /// The program has the features of the keys, and other hosts read metrics only if the file says
    /// so.
    pub(super) fn check_telemetry(&self) -> Result<(), TopologyError> {
        let (telemetry, nodes) = (&self.sections.telemetry, &self.sections.node);
        let expose = telemetry.expose.as_ref().map(|key| ("expose", key.span()));
        let interval = telemetry.interval.as_ref().map(|key| ("interval", key.span()));
        let sets = telemetry.label_sets.as_ref().map(|key| ("label_sets", key.span()));
        let addresses = nodes.values().filter_map(|node| node.listen_metrics.as_ref());
        let listen = addresses.clone().next().map(|key| ("listen_metrics", key.span()));
        let (endpoint, facade) = (cfg!(feature = "prometheus"), cfg!(feature = "facade"));
        let needs = [
            (listen, endpoint, "`prometheus`"),
            (expose, endpoint, "`prometheus`"),
            (interval, facade, "`facade`"),
            (sets, endpoint || facade, "`prometheus` or `facade`"),
        ];
        for (key, is_there, feature) in needs {
            let Some((key, place)) = key.filter(|_| !is_there) else { continue };
            let message = format!(
                "this program was built without what `{key}` needs: enable the feature {feature} \
                 of the package `mycelium`"
            );
            return Err(self.file.error(place, Problem::Contradiction { message }));
        }
        let is_far = |key: &&Spanned<MetricsAddress>| !key.as_ref().0.ip().is_loopback();
        let far = { addresses }.find(is_far).filter(|_| !self.exposes_metrics());
        let Some(far) = far else { return Ok(()) };
        let message = format!(
            "other hosts could read the metrics at `{}`: expected an address of this host, such as \
             `127.0.0.1:9464`, or `expose = true` in `[telemetry]`",
            far.as_ref().0
        );
        Err(self.file.error(far.span(), Problem::Contradiction { message }))
    }

    /// Where a node serves its metrics, and where the file says so.
    #[cfg_attr(not(feature = "prometheus"), allow(dead_code, reason = "the key is an error"))]
    pub(crate) fn metrics_address(&self, node: &str) -> Option<(SocketAddr, String)> {
        let key = self.sections.node.get(node)?.listen_metrics.as_ref()?;
        Some((key.as_ref().0, self.file.location(key.span()).to_string()))
    }

    /// Whether other hosts may read the metrics of nodes.
    pub(crate) fn exposes_metrics(&self) -> bool {
        self.sections.telemetry.expose.as_ref().is_some_and(|key| *key.as_ref())
    }

    /// How often metrics are passed on.
    #[cfg_attr(not(feature = "facade"), allow(dead_code, reason = "the key is an error"))]
    pub(crate) fn telemetry_interval(&self) -> Option<Duration> {
        self.sections.telemetry.interval.as_ref().map(|key| key.as_ref().0)
    }

    /// The most sets of label values of a family of metrics.
    #[cfg_attr(
        not(any(feature = "prometheus", feature = "facade")),
        allow(dead_code, reason = "the key is an error")
    )]
    pub(crate) fn label_sets(&self) -> Option<usize> {
        self.sections.telemetry.label_sets.as_ref().map(|key| key.as_ref().0)
    }
}
