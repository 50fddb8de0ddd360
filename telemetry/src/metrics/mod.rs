//! Families of metrics: names, help, units, kinds, labels and values, made of the counters of a
//! node. Sinks write them in the form that they need.
//!
//! To read: `snapshot` (what a node knows of itself), `names` (the name of each value), `family`
//! (the result), `collector` (from one to the other), `user` (the metrics of services), `text` (the
//! formats of Prometheus).

mod collector;
mod family;
pub mod names;
mod sets;
pub(crate) mod snapshot;
#[cfg(feature = "prometheus")]
pub mod text;
mod user;

pub use collector::Collector;
pub use family::{
    Buckets, Family, FamilyKind, LABEL_SETS, Labels, OTHER, STATES, Sample, SampleValue,
};

/// The names of all families that are not of services: name, kind and whether values of lines, or
/// of several of them, make it.
pub fn all_names() -> impl Iterator<Item = (&'static str, FamilyKind)> {
    let kinds = mycelium_transports::counters::Kind::ALL.into_iter();
    let of_lines = kinds.flat_map(|kind| names::names(kind).iter().map(|it| (it.family, it.kind)));
    let derived = names::derived::ALL.into_iter().map(|it| (it.0, it.2));
    of_lines.filter(|(name, _)| !name.is_empty()).chain(derived)
}
