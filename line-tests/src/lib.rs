//! Counts the cache lines that move between cores for a message, without a clock and on any machine.
//!
//! `core/` and `transports/` are compiled a second time here (`core/Cargo.toml`, `transports/Cargo.toml` below this
//! folder), under `cfg(lines)`: their shims then report each access to shared memory. [`caches`] are simulated by the
//! MESI protocol, a [`machine`] says which core makes an access, [`scripts`] drive the ends of a ring from several
//! simulated cores on one thread, and [`subjects`] are the rings and the topics. [`goals`] are what
//! `tests/goals.rs` asserts; [`table`] is what `docs/performance.md` shows.

#![deny(unsafe_code)]

pub mod caches;
pub mod goals;
pub mod machine;
pub mod place;
pub mod rtrb;
pub mod scripts;
pub mod subjects;
pub mod table;
