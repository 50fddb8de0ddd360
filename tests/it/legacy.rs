//! Clients of the original system, over real sockets. The bytes that they send and receive are
//! written by hand, from the specification in `docs/legacy.md`.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod defects;
mod executors;
mod harness;
mod hostile;
mod nodes;
mod processes;
mod slow;
