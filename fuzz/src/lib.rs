//! The bodies of the fuzz targets: ordinary functions over bytes, which panic when a promise is broken.
//!
//! `cargo fuzz` drives them through the thin programs in `fuzz_targets/`; `cargo test` on stable replays
//! `corpus/<target>/` through them (`tests/replay.rs`). Bytes that once broke something become a file of the corpus.

mod codec;
mod link;

pub use codec::{extensions, frame, message};
pub use link::link;
