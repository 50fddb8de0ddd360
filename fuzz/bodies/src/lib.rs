//! The bodies of the fuzz targets: functions over bytes that panic if the core or the transports
//! break a promise.
//!
//! The programs in `fuzz/fuzz_targets/` call them, by `cargo +nightly fuzz run <target>`. `cargo
//! test` on stable replays `fuzz/corpus/<target>/` through them (`tests/replay.rs`). Bytes that
//! broke a promise become a file of the corpus.

mod arena;
mod codec;
mod counters;
mod heap;
mod legacy;
mod link;
mod packet;
mod postcard;
mod recording;
mod region;
#[allow(dead_code, reason = "only the core's tests need JSON")]
mod shapes;
mod untyped;
mod variable;

pub use self::postcard::postcard;
pub use arena::arena;
pub use codec::{extensions, frame, message};
pub use counters::counters;
pub use legacy::legacy;
pub use link::link;
pub use packet::packet;
pub use recording::recording;
pub use region::region;
pub use untyped::untyped;
pub use variable::variable;

#[cfg(test)]
mod seeds {
    use std::{fs, path::Path};

    /// Checks that at least a tenth of a corpus is accepted.
    pub(crate) fn a_tenth_is_accepted(target: &str, accepts: fn(&[u8]) -> bool) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
        let seeds = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path());
        let seeds: Vec<_> = seeds.map(|path| accepts(&fs::read(path).unwrap())).collect();
        let accepted = seeds.iter().filter(|accepted| **accepted).count();
        assert!(accepted * 10 >= seeds.len(), "{accepted} of {}", seeds.len());
    }
}
