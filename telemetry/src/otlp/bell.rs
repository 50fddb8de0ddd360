//! Wakes the thread of an exporter. A task that rings the bell neither waits nor allocates.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use mycelium_core::doorbell::Doorbell;

/// Wakes the thread of an exporter, from any thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    bell: Doorbell,
    is_rung: AtomicBool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.is_rung.store(true, Ordering::Release);
        self.bell.announce_and_ring();
    }

    /// Becomes ready once after one or several rings.
    pub(crate) fn poll_rung(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_rung.swap(false, Ordering::Acquire) {
            self.bell.park(cx.waker());
            if !self.is_rung.swap(false, Ordering::Acquire) {
                return Poll::Pending;
            }
            self.bell.unpark();
        }
        Poll::Ready(())
    }
}
