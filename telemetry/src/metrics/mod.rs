//! Families of metrics: names, help, units, kinds, labels and values, made of the counters of a
//! node. Sinks write them in the form that they need.
//!
//! To read: `snapshot` (what a node knows of itself), `names` (the name of each value), `family`
//! (the result), `collector` (from one to the other) with `shown`, `user` (the metrics of
//! services), `text` (the formats of Prometheus). It uses the counters of `mycelium-transports`,
//! where everything is counted, and no sink.

mod collector;
mod family;
pub mod names;
mod sets;
mod shown;
pub(crate) mod snapshot;
#[cfg(feature = "prometheus")]
pub mod text;
mod user;

pub use collector::Collector;
pub use family::{
    Buckets, Family, FamilyKind, LABEL_SETS, Labels, OTHER, STATES, Sample, SampleValue,
};
