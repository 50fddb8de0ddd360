//! Counts the cache lines that move between two cores for a message of a ring, without a clock and
//! on any machine.
//!
//! `RUSTFLAGS="--cfg lines" cargo test -p mycelium-line-tests --target-dir target/lines` runs the
//! tests. Under that flag the shim of `core/` reports each access to shared memory. `caches`
//! simulates the MESI protocol, `machine` assigns each access to a core, `subjects` are the
//! rings, and `scripts` drives the two ends of a ring on one thread. Without the flag this
//! package is empty.
#![cfg(lines)]
#![deny(unsafe_code)]

pub mod caches;
pub mod machine;
pub mod place;
pub mod scripts;
pub mod subjects;
