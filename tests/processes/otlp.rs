//! Traces and metrics of nodes at a collector, a real HTTP server that decodes them by the official
//! definitions: from one node, on each executor, from two nodes, and with collectors that are away
//! or broken.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "otlp", feature = "signals", feature = "topology"))]

#[allow(dead_code, reason = "the tests of the package `telemetry` use all of it")]
#[path = "../../telemetry/tests/it/collector.rs"]
mod collector;
mod errors;
mod faults;
mod metrics;
mod nodes;
#[cfg(all(feature = "prometheus", feature = "tracing"))]
mod pressed;
mod services;
#[cfg(all(feature = "prometheus", feature = "tracing"))]
mod stages;
mod trees;
