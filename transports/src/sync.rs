//! The atomics of this crate.

pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// Words that another process may write at any time, and that may be mapped read-only.
#[derive(Clone, Copy)]
pub(crate) struct ForeignWords<'a>(&'a [AtomicU64]);

impl<'a> ForeignWords<'a> {
    pub(crate) fn new(words: &'a [AtomicU64]) -> ForeignWords<'a> {
        ForeignWords(words)
    }

    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// A word, unless there are fewer. All words of other processes are loaded here: in memory that
    /// is mapped read-only, only relaxed loads of at most 8 bytes are defined. To acquire what its
    /// writer has released, a fence follows.
    #[inline]
    pub(crate) fn load(self, index: usize) -> Option<u64> {
        self.0.get(index).map(|word| word.load(Ordering::Relaxed))
    }
}
