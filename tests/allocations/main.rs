//! What messages, actors and nodes allocate. The allocator of this program counts.

#[cfg(all(target_os = "linux", feature = "tls"))]
#[path = "../certificates/mod.rs"]
mod certificates;
#[path = "../counting/mod.rs"]
mod counting;
#[cfg(all(target_os = "linux", feature = "metrics", feature = "signals", feature = "topology"))]
#[cfg(target_pointer_width = "64")]
#[path = "../frames/mod.rs"]
mod frames;
mod keyed_actors;
#[cfg(all(target_os = "linux", feature = "metrics", feature = "signals", feature = "topology"))]
#[cfg(target_pointer_width = "64")]
#[allow(dead_code, unused_imports, unused_macros, reason = "the tests of links use all of it")]
mod links;
#[cfg(all(feature = "signals", feature = "topology"))]
#[path = "../loopback/mod.rs"]
mod loopback;
mod messages;
mod scale;
#[cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]
#[allow(dead_code, reason = "the tests of links use all of it")]
#[path = "../it/support.rs"]
mod support;

use counting::{allocations, bytes};
