//! A waiting task for tests.
#![cfg(any(feature = "metrics", all(target_os = "linux", not(miri))))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(feature = "metrics")]
use std::task::Context;
use std::task::{Wake, Waker};

#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waker that counts its wakes.
pub(crate) struct Waiter(pub(crate) Arc<Wakes>, pub(crate) Waker);

impl Waiter {
    pub(crate) fn new() -> Waiter {
        let wakes = Arc::new(Wakes::default());
        Waiter(wakes.clone(), wakes.into())
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.1)
    }

    /// Returns how many wakes there were since the last call.
    pub(crate) fn wakes(&self) -> usize {
        self.0.0.swap(0, Ordering::SeqCst)
    }
}
