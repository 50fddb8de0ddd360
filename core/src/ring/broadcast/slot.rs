//! One slot: what its stamp says, and what its second word says.
//!
//! The second word has two halves. The lower one is the message's length in bytes, or one of two marks that say that
//! the claim was given up (a *skip*): one for even laps, one for odd ones. The upper one counts the skips of this slot
//! in all laps before. It costs nothing while there are none: the word is then the length. Once there were some, an
//! observer that was passed adds these counts up, and so knows how many of the sequences that it missed were
//! messages (`Broadcast::skips_before`).

use super::storage::Word;
pub(super) use crate::ring::is_after;
use crate::sync::{AtomicUsize, Ordering, store_all};

/// A message's place: its stamp, the word of its length, and its words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    pub(super) stamp: &'a AtomicUsize,
    pub(super) length: &'a AtomicUsize,
    pub(super) words: &'a [Word],
}

/// What the stamp of its slot says about a message.
pub(super) enum Stamp {
    /// Not written yet, or being written.
    Before,
    Published,
    Overwritten {
        by: usize,
    },
}

const HALF: u32 = usize::BITS / 2;
/// The half of the second word that holds a length or a mark.
pub(super) const LENGTH: usize = (1 << HALF) - 1;
/// The longest message. What is longer is a mark.
pub(super) const LONGEST: usize = LENGTH - 2;

/// Whether a second word says that there is no message.
#[inline]
pub(super) fn is_skip(word: usize) -> bool {
    word & LENGTH > LONGEST
}

/// The skips that a second word has counted, up to the half of a word.
#[inline]
pub(super) fn skips(word: usize) -> usize {
    word >> HALF
}

/// The mark of a claim that was given up. Sequences of one slot in neighbouring laps have different ones, so that who
/// finds one while the slot is being written knows whose it is.
#[inline]
pub(super) fn skip_mark(sequence: usize, capacity: usize) -> usize {
    LENGTH - usize::from(sequence & capacity != 0)
}

impl<'a> Slot<'a> {
    /// Stores the length of a message, or a mark. Only who has the slot to itself may call it.
    #[inline(always)]
    pub(super) fn set_length(&self, length: usize) {
        let before = self.length.load(Ordering::Relaxed);
        // Nearly always the length is the same in every lap; then the word need not be written.
        if before != length {
            change_length(self.length, before, length);
        }
    }

    /// The words as they lie there.
    ///
    /// # Safety
    /// Nobody writes to them while the reference lives.
    #[cfg(not(loom))]
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) unsafe fn lend(&self) -> &'a [usize] {
        crate::sync::seen!(Load, self.words);
        let (start, count) = (self.words.as_ptr().cast(), self.words.len());
        // SAFETY: a `Word` is an atomic word and nothing else (`repr(transparent)` all the way down), and nobody writes to
        // these (this function's contract).
        unsafe { core::slice::from_raw_parts(start, count) }
    }

    /// Copies words into the slot.
    ///
    /// # Panics
    /// If they are more than it has.
    #[inline(always)]
    pub(super) fn copy_in(&self, words: &[usize]) {
        store_all(self.words, |word| &word.0, words);
    }
}

// Not a method: a slot that is passed on by reference has to be in memory.
#[cold]
#[inline(never)]
fn change_length(word: &AtomicUsize, before: usize, length: usize) {
    let skips = skips(before).wrapping_add(usize::from(is_skip(before)));
    word.store((skips << HALF) | length, Ordering::Relaxed);
}
