//! Families of metrics: names, help, units, kinds, labels and values, made from the counters of a
//! node. Sinks (Prometheus, the crate `metrics`, OpenTelemetry) write them in their own formats.
//!
//! Read `snapshot` (the state of a node at one moment), `names` (the name of each value), `family`
//! (the result), `collector` (makes families from snapshots) with `shown`, `user` (the metrics of
//! services), `text` (the formats of Prometheus). This module depends on the counters of
//! `mycelium-bus-transports`, which consist of *lines* (each with a kind, a label and up to sixteen
//! values), and on no sink.

mod collector;
mod family;
pub mod names;
mod sets;
mod shown;
pub(crate) mod snapshot;
#[cfg(feature = "prometheus")]
pub mod text;
mod user;

use names::Name;

pub use collector::Collector;
pub use family::{
    Buckets, Family, FamilyKind, LABEL_SETS, Labels, OTHER, STATES, Sample, SampleValue,
};

/// A family that does not come from services, for the documentation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Described {
    /// The name. The name of a counter is without `_total`.
    pub name: &'static str,
    /// The kind of the family's values.
    pub kind: FamilyKind,
    /// The keys of the family's labels, without `node`, which comes first.
    pub labels: Vec<&'static str>,
    /// The meaning of the family.
    pub help: &'static str,
}

/// Returns all families that do not come from services, in alphabetical order.
pub fn described() -> Vec<Described> {
    let mut all: Vec<Described> = Vec::new();
    for kind in mycelium_transports::counters::Kind::ALL {
        for name in names::names(kind).iter().filter(|name| !name.family.is_empty()) {
            let own = names::labels(kind).iter().map(|(_, key)| *key);
            let labels = own.chain(name.fixed.map(|(key, _)| key)).collect();
            all.push(Described { name: name.family, kind: name.kind, labels, help: name.help });
        }
    }
    all.extend(names::DERIVED.into_iter().map(|(Name { family, help, kind, .. }, labels)| {
        Described { name: family, kind, labels: labels.to_vec(), help }
    }));
    all.sort();
    all.dedup();
    all
}
