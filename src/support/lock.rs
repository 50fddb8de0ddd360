//! Locks a mutex even if a holder has panicked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, even after a panic of a holder: no user of this function leaves a value half changed.
#[inline]
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
