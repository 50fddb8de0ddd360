//! The atomics and locks of this crate.

pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose value stays valid even if a thread panics while it holds the lock.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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

    /// Loads a word; `None` beyond the last one. All words of other processes are loaded here: in
    /// memory that is mapped read-only, only relaxed loads of at most 8 bytes are defined. To
    /// acquire the writer's earlier stores, add a fence.
    #[inline]
    pub(crate) fn load(self, index: usize) -> Option<u64> {
        self.0.get(index).map(|word| word.load(Ordering::Relaxed))
    }
}
