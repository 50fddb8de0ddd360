//! Clients of the original system, over real sockets. What they send and get is written by hand,
//! from the specification in `docs/legacy.md`.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

#[path = "legacy/defects.rs"]
mod defects;
#[path = "legacy/executors.rs"]
mod executors;
#[path = "legacy/harness.rs"]
mod harness;
#[path = "legacy/hostile.rs"]
mod hostile;
mod loopback;
#[path = "legacy/nodes.rs"]
mod nodes;
#[path = "legacy/processes.rs"]
mod processes;
#[path = "legacy/slow.rs"]
mod slow;
