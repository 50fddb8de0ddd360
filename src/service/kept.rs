//! State of a service that survives a panic of the service.

use crate::support::lock::lock;
use std::fmt;
use std::sync::{Arc, Mutex};

/// State that is stored outside the service: the service's factory passes it to each new instance.
///
/// A panic drops the service, and the message in flight is redelivered. Keep here the state that
/// the next instance needs, and commit it after the results of a message were emitted. If the
/// service panics before the commit, the work is repeated. If it panics after the commit, the new
/// instance sees that the work was done.
///
/// ```
/// use mycelium::supervision::Kept;
///
/// let total = Kept::new(0u64);
/// let in_the_next_instance = total.clone();
/// total.commit(|total| *total += 7);
/// assert_eq!(in_the_next_instance.read(|total| *total), 7);
/// ```
pub struct Kept<S>(Arc<Mutex<S>>);

impl<S> Kept<S> {
    /// Creates the state.
    pub fn new(state: S) -> Kept<S> {
        Kept(Arc::new(Mutex::new(state)))
    }

    /// Reads the state.
    pub fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&lock(&self.0))
    }

    /// Changes the state. If `change` panics, its changes so far are kept, so use only operations
    /// that cannot fail.
    pub fn commit<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        change(&mut lock(&self.0))
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
