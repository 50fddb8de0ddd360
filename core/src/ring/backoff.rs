//! What a thread does that has lost a compare-and-swap.
//!
//! Whoever lost tries again; if it does so at once, the word's cache line travels for attempts instead of for items,
//! and two threads get half of what one would. So each loss doubles the wait, up to some hundred nanoseconds: short
//! beside what a scheduler does, so that nobody starves by having waited. The wait is for no other thread in
//! particular: who lost could go on at once.

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
        // The model checker would try every number of pauses, and learn nothing.
        let pauses = if cfg!(loom) { 1 } else { 1 << self.step };
        for _ in 0..pauses {
            pause();
        }
        self.step = (self.step + 1).min(Backoff::MOST);
    }
}
