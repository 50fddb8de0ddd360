//! A waker that records that it was used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Wake, Waker};

/// Whether a waker was used. It is not part of the model: a model reads it after all threads have
/// ended.
#[derive(Debug, Default)]
pub struct Woken(AtomicBool);

impl Woken {
    /// Creates a record of a waker that was not used yet.
    #[must_use]
    pub fn new() -> Arc<Woken> {
        Arc::default()
    }

    /// Returns the waker.
    #[must_use]
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// Whether the waker was used since the start or the last [`reset`](Self::reset).
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Clears the record.
    pub fn reset(&self) {
        self.0.store(false, Relaxed);
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}
