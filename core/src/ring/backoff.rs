//! The wait after a failed compare-and-swap.
//!
//! A thread whose compare-and-swap failed tries again. If it does so at once, the cache line moves
//! for attempts instead of for items, and two threads get half the throughput of one. So each
//! failure doubles the wait, up to some hundred nanoseconds: short beside a time slice, so that no
//! thread starves. The thread waits for no other thread in particular: it could continue at once.

use crate::sync::pause;

#[derive(Debug)]
pub(super) struct Backoff {
    /// The logarithm of the next wait, in pauses.
    step: u32,
}

impl Backoff {
    const MOST: u32 = 6;

    #[inline]
    pub(super) fn new() -> Backoff {
        Backoff { step: 0 }
    }

    #[inline]
    pub(super) fn wait(&mut self) {
        // The model checker would try every number of pauses without finding more.
        let pauses = if cfg!(loom) { 1 } else { 1 << self.step };
        for _ in 0..pauses {
            pause();
        }
        self.step = (self.step + 1).min(Backoff::MOST);
    }
}
