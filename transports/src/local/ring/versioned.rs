//! A value behind a lock, with a version that is read without the lock.

use std::sync::{Mutex, MutexGuard};

use crate::sync::{AtomicUsize, Ordering, lock};

/// A value behind a lock. Its version shows the holder of a copy, without the lock, whether the
/// copy is current.
#[derive(Debug, Default)]
pub(crate) struct Versioned<T> {
    version: AtomicUsize,
    value: Mutex<T>,
}

impl<T> Versioned<T> {
    /// The number of changes so far. If both sides call
    /// [`announce`](mycelium_core::doorbell::announce), the later one sees the change of the
    /// earlier one.
    #[inline]
    pub(crate) fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.lock();
        let result = change(&mut value);
        self.version.fetch_add(1, Ordering::Release);
        result
    }
}
