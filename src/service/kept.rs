//! State that outlives a panic of its service.

use crate::support::lock::lock;
use std::fmt;
use std::sync::{Arc, Mutex};

/// State outside a service: the service's factory hands it to each new instance.
///
/// A panic drops the service, and the message in flight is redelivered. Keep here what the next
/// instance must know, and commit it after the results of a message were emitted. A fault before
/// the commit then repeats the work. After a fault behind the commit, the new instance sees that
/// the work was done.
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
    /// Keeps `state`.
    pub fn new(state: S) -> Kept<S> {
        Kept(Arc::new(Mutex::new(state)))
    }

    /// Reads the state.
    pub fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&lock(&self.0))
    }

    /// Changes the state. If `change` panics, its changes so far stay: do only what cannot fail.
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
