//! Metrics and health of a node, in formats for systems outside of its process. `mycelium` depends
//! on this package if one of its features `prometheus`, `facade` or `otlp` is on.
//!
//! Nothing here runs in the task of a service, or depends on services, nodes or executors. A
//! [`Snapshot`] is the state of a node at one moment: the counters of its region, the depths of its
//! rings, and its health. [`metrics`] makes families from it; `http` serves them to Prometheus,
//! `facade` passes them to the crate `metrics`, and `push` sends them to an OpenTelemetry
//! collector. `spans` sends the spans of a node to such a collector; `push` and `spans` use `otlp`.
//! All run on threads of the caller until the caller stops them.
//!
//! Nothing is counted here: topics, links and services count in `counters` of
//! `mycelium-bus-transports`, and [`metrics`] gives these counts their names. `src/node/telemetry/` of
//! `mycelium` has the threads, settings and snapshots of a node.
#![forbid(unsafe_code)]

#[cfg(feature = "facade")]
pub mod facade;
#[cfg(feature = "prometheus")]
pub mod http;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "otlp")]
pub mod push;
#[cfg(any(feature = "prometheus", feature = "otlp"))]
mod runtime;
#[cfg(feature = "otlp")]
pub mod spans;

pub use metrics::snapshot::{HealthOf, HealthReading, Ring, Snapshot, Source};
