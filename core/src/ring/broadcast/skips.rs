//! How many claims were given up before a sequence: what an observer subtracts from a gap.
//!
//! Nobody on the path of a message counts them in order, since claims are given up out of order. Each slot counts its
//! own (see `slot`), and who wants to know adds the slots up. That takes a walk over the ring, which happens only at
//! gaps, and only if claims were given up since the reader last knew the number.

use super::slot::{LENGTH, is_skip, skip_mark, skips};
use super::{Broadcast, Storage};
use crate::sync::{Ordering, barrier, order, pause};

impl<T: Storage> Broadcast<T> {
    /// Asks `choose` for a sequence before which nothing is unfinished, and returns it and how many claims before it
    /// were given up, modulo half a word; `known` is how many of them were known before. `choose` is asked again, for
    /// a sequence that is the given number of messages newer, when writers were so fast that the slots could not be
    /// counted.
    pub(super) fn skips_from(
        &self,
        choose: impl Fn(usize) -> usize,
        known: usize,
    ) -> (usize, usize) {
        let mut slack = 0;
        loop {
            let sequence = choose(slack);
            // Acquire, with the Release of a claim or of a commit: `choose` may know by the claims, or by the tail, that all
            // before `sequence` is finished.
            barrier!("skips.known-fence", Acquire);
            // A claim that was given up before `sequence` was counted before what made `choose` see it finished.
            if T::FOREIGN || self.skipped() & LENGTH == known {
                return (sequence, known);
            }
            if let Some(count) = self.skips_before(sequence) {
                return (sequence, count & LENGTH);
            }
            slack = (2 * slack + 1).min(self.capacity);
            pause();
        }
    }

    /// The number of claims before `sequence` that were given up, modulo half a word; `None` if a writer has gone on to
    /// the lap after it, so that nobody can tell any more.
    fn skips_before(&self, sequence: usize) -> Option<usize> {
        let mut sum = 0usize;
        for ahead in 0..self.capacity {
            let next = sequence.wrapping_add(ahead);
            let slot = self.slot(next);
            let stamp = slot.stamp.load(order!("skips.look", Acquire));
            let word = slot.length.load(Ordering::Relaxed);
            barrier!("skips.recheck-fence", Acquire);
            if slot.stamp.load(Ordering::Relaxed) != stamp {
                return None;
            }
            // Whose word is it?
            let before = next.wrapping_sub(self.capacity);
            let last = if stamp == next.wrapping_add(1) {
                false
            } else if stamp == next {
                // It is being written: the word is still that of the lap before, or new.
                word & LENGTH == skip_mark(before, self.capacity)
            } else if stamp == before.wrapping_add(1) {
                is_skip(word)
            } else {
                return None;
            };
            sum = sum.wrapping_add(skips(word)).wrapping_add(usize::from(last));
        }
        Some(sum)
    }
}
