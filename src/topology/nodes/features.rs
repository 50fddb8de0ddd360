//! The features of the library that keys of a topology need.

use serde_spanned::Spanned;

use crate::topology::Topology;
use crate::topology::error::TopologyError;
use crate::topology::keys::sections::Sections;

/// Returns the features of this program that keys may need.
pub(crate) fn own_features() -> Vec<String> {
    let all = [
        ("actors", cfg!(feature = "actors")),
        ("describe", cfg!(feature = "describe")),
        ("facade", cfg!(feature = "facade")),
        ("metrics", cfg!(feature = "metrics")),
        ("otlp", cfg!(feature = "otlp")),
        ("prometheus", cfg!(feature = "prometheus")),
        ("tls", cfg!(feature = "tls")),
    ];
    all.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name.to_owned()).collect()
}

impl Topology {
    /// Checks that this program has the features that the keys need.
    pub(crate) fn check_own_features(&self) -> Result<(), TopologyError> {
        self.check_features(&own_features())
    }

    /// Checks that a program with these features has all features that the keys need.
    pub(crate) fn check_features(&self, features: &[String]) -> Result<(), TopologyError> {
        let has = |name: &str| features.iter().any(|feature| feature == name);
        if let Some(section) = self.sections.tls.as_ref().filter(|_| !has("tls")) {
            let message = "this program was built without TLS: enable the feature `tls` of the \
                           package `mycelium`";
            return Err(self.file.contradiction(section.span(), message));
        }
        let Sections { telemetry, node: nodes, topic: topics, .. } = &self.sections;
        let expose = telemetry.expose.as_ref().map(|key| ("expose", key.span()));
        let interval = telemetry.interval.as_ref().map(|key| ("interval", key.span()));
        let sets = telemetry.label_sets.as_ref().map(|key| ("label_sets", key.span()));
        let mut asked = nodes.values().filter_map(|node| node.actors_for.as_ref()?.first());
        let asked = asked.next().map(|key| ("actors_for", key.span()));
        let described = nodes.values().find_map(|node| node.description.as_ref());
        let described = described.map(|key| ("description", Spanned::span(key)));
        let mut addresses = nodes.values().filter_map(|node| node.listen_metrics.as_ref());
        let listen = addresses.next().map(|key| ("listen_metrics", key.span()));
        let latency = topics.values().find_map(|topic| topic.latency_sample.as_ref());
        let latency = latency.map(|key| ("latency_sample", Spanned::span(key)));
        let of_collectors = telemetry.keys_of_collectors().next();
        let [prometheus, pushes] = [has("prometheus"), has("facade") || has("otlp")];
        let needs = [
            (asked, has("actors"), "`actors`"),
            (listen, prometheus, "`prometheus`"),
            (expose, prometheus, "`prometheus`"),
            (interval, pushes, "`facade` or `otlp`"),
            (sets, prometheus || pushes, "`prometheus`, `facade` or `otlp`"),
            (of_collectors, has("otlp"), "`otlp`"),
            (latency, has("metrics"), "`metrics`"),
            (described, has("describe"), "`describe`"),
        ];
        for (key, is_there, feature) in needs {
            let Some((key, place)) = key.filter(|_| !is_there) else { continue };
            let message = format!(
                "this program was built without what `{key}` needs: enable the feature {feature} \
                 of the package `mycelium`"
            );
            return Err(self.file.contradiction(place, message));
        }
        Ok(())
    }
}
