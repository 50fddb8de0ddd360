//! Counts the cache lines that move between cores for a message, without a clock and on any
//! machine.
//!
//! `core/` and `transports/` are compiled a second time here (`core/Cargo.toml`,
//! `transports/Cargo.toml` below this folder), under `cfg(lines)`: their shims then report each
//! access to shared memory. [`caches`] simulates the MESI protocol, [`machine`] assigns each access
//! to a core, [`subjects`] are the rings and the topics, and [`scripts`] drives the ends of a ring
//! from several simulated cores on one thread. `tests/goals.rs` asserts [`goals`];
//! `docs/performance.md` shows [`table`].

#![deny(unsafe_code)]

pub mod caches;
pub mod goals;
pub mod machine;
pub mod place;
pub mod rtrb;
pub mod scripts;
pub mod subjects;
pub mod table;
