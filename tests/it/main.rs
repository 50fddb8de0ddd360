//! The tests of the package that can share a process. Tests that measure or kill whole processes
//! are in `tests/processes`; tests that count allocations are in `tests/allocations`.

// Modules that several tests use.
#[cfg(all(target_os = "linux", feature = "tls"))]
#[path = "../certificates/mod.rs"]
mod certificates;
#[cfg(all(feature = "metrics", feature = "topology"))]
mod conserved;
#[cfg(all(unix, feature = "topology"))]
#[path = "../executors/mod.rs"]
mod executors;
#[cfg(unix)]
#[path = "../frames/mod.rs"]
mod frames;
#[cfg(feature = "tracing")]
mod lines;
#[cfg(all(target_os = "linux", any(feature = "metrics", feature = "topology")))]
#[path = "../loopback/mod.rs"]
mod loopback;
#[cfg(all(target_os = "linux", feature = "metrics", feature = "signals", feature = "topology"))]
mod numbers;
#[cfg(all(target_os = "linux", feature = "metrics", feature = "topology"))]
mod proxy;
#[allow(dead_code, reason = "tests of some features use only some of it")]
mod running;
#[cfg(all(unix, any(feature = "metrics", feature = "topology")))]
#[allow(dead_code, reason = "without links")]
#[path = "../conformance/subjects.rs"]
mod subjects;
#[cfg(feature = "metrics")]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "for tests of Linux"))]
mod support;
#[cfg(all(target_os = "linux", feature = "metrics", feature = "topology"))]
mod way;

mod actors;
mod actors_remote;
mod bad_network;
mod carriers;
mod codes;
mod defects;
mod describe;
mod documents;
mod engines;
mod errors;
mod execution;
mod features;
mod health;
#[cfg(all(feature = "describe", feature = "json-logs", feature = "metrics", feature = "signals"))]
mod json_logs;
mod latency;
mod layouts;
mod legacy;
mod limits;
mod link;
mod links;
mod metrics;
#[cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]
mod mistakes;
mod network;
mod node;
mod nodes;
mod ports;
mod recorder;
mod requests;
mod retained;
mod routes;
mod seam;
mod shapes;
mod sockets;
mod stand_in;
mod supervision;
mod telemetry;
mod testing;
mod tls;
mod topology;
mod traces;
