//! The bodies of the fuzz targets: functions over bytes that panic if the core or the transports
//! break a promise.
//!
//! The programs in `fuzz/fuzz_targets/` call them, by `cargo +nightly fuzz run <target>`. `cargo
//! test` on stable replays `fuzz/corpus/<target>/` through them (`tests/replay.rs`). Bytes that
//! broke a promise become a file of the corpus.

mod codec;
mod counters;
mod legacy;
mod link;
mod region;
mod untyped;

pub use codec::{extensions, frame, message};
pub use counters::counters;
pub use legacy::legacy;
pub use link::link;
pub use region::region;
pub use untyped::untyped;
