//! State that outlives a panic of its service.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// State outside a service, which its factory hands to each new instance.
///
/// A panic takes the service with it, and the message in hand is delivered again. Whatever must not be forgotten is
/// kept here and committed once the work on a message is done: after its results were emitted, so that a fault before
/// the commit repeats the work, and a fault after it finds that it was done.
///
/// ```
/// use mycelium::Kept;
///
/// let total = Kept::new(0u64);
/// let in_the_next_instance = total.clone();
/// total.commit(|total| *total += 7);
/// assert_eq!(in_the_next_instance.read(|total| *total), 7);
/// ```
pub struct Kept<S>(Arc<Mutex<S>>);

impl<S> Kept<S> {
    /// Keeps `state`.
    pub fn new(state: S) -> Kept<S> {
        Kept(Arc::new(Mutex::new(state)))
    }

    /// Looks at the state.
    pub fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state. If `change` panics, what it has changed so far stays: keep it to what cannot fail.
    pub fn commit<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Clone for Kept<S> {
    fn clone(&self) -> Kept<S> {
        Kept(self.0.clone())
    }
}

impl<S: Default> Default for Kept<S> {
    fn default() -> Kept<S> {
        Kept::new(S::default())
    }
}

impl<S: fmt::Debug> fmt::Debug for Kept<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|state| f.debug_tuple("Kept").field(state).finish())
    }
}
