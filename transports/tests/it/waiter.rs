//! A task that waits in a test.
#![cfg(feature = "metrics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waker that counts.
pub(crate) struct Waiter(pub(crate) Arc<Wakes>, pub(crate) Waker);

impl Waiter {
    pub(crate) fn new() -> Waiter {
        let wakes = Arc::new(Wakes::default());
        Waiter(wakes.clone(), wakes.into())
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.1)
    }

    /// The wakes since the last call.
    pub(crate) fn wakes(&self) -> usize {
        self.0.0.swap(0, Ordering::SeqCst)
    }
}
