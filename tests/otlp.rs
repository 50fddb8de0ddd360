//! Traces and metrics of nodes at a collector: a real server over HTTP, which decodes them by the
//! official definitions. In one node, on each executor, over processes and carriers, and with
//! collectors that are away or broken.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "otlp", feature = "signals", feature = "topology"))]

#[allow(dead_code, reason = "the tests of the package `telemetry` use all of it")]
#[path = "../telemetry/tests/spans/collector.rs"]
mod collector;
#[path = "otlp/errors.rs"]
mod errors;
mod executors;
#[path = "otlp/faults.rs"]
mod faults;
#[cfg(all(feature = "prometheus", feature = "tracing"))]
mod loopback;
#[path = "otlp/metrics.rs"]
mod metrics;
#[path = "otlp/nodes.rs"]
mod nodes;
#[cfg(all(feature = "prometheus", feature = "tracing"))]
#[path = "otlp/pressed.rs"]
mod pressed;
#[path = "otlp/processes.rs"]
mod processes;
#[path = "otlp/services.rs"]
mod services;
#[cfg(all(feature = "prometheus", feature = "tracing"))]
#[path = "otlp/stages.rs"]
mod stages;
#[path = "otlp/trees.rs"]
mod trees;
