//! One slot: its stamp, the length of its message if messages differ in length, and the words of
//! the message.

use super::storage::Word;
use crate::sync::{AtomicUsize, Ordering, load_all, store_all};

pub(super) use crate::ring::is_after;

/// The words of one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    pub(super) stamp: &'a AtomicUsize,
    /// `None` in rings whose messages have one length.
    pub(super) length: Option<&'a AtomicUsize>,
    pub(super) words: &'a [Word],
}

/// The state of a message, according to the stamp of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Not written yet, or being written.
    Before,
    Published,
    Overwritten {
        by: usize,
    },
}

impl Stamp {
    /// The state of message `sequence`, from a stamp in a ring of `capacity`.
    #[inline]
    pub(super) fn of(stamp: usize, sequence: usize, capacity: usize) -> Stamp {
        let published = sequence.wrapping_add(1);
        if stamp == published {
            Stamp::Published
        } else if !is_after(stamp, published) {
            Stamp::Before
        } else {
            // The slot contains, or is being filled with, a message that is some whole laps later.
            let laps = stamp.wrapping_sub(published).div_ceil(capacity);
            Stamp::Overwritten { by: sequence.wrapping_add(laps.wrapping_mul(capacity)) }
        }
    }
}

/// Atomic words as plain words.
///
/// # Safety
/// No thread writes to them while the reference lives.
#[cfg(not(loom))]
#[allow(unsafe_code)]
#[inline(always)]
pub(super) unsafe fn borrow(words: &[Word]) -> &[usize] {
    crate::sync::seen!(Load, words);
    let (start, count) = (words.as_ptr().cast(), words.len());
    // SAFETY: a `Word` is an atomic word and nothing else (`repr(transparent)` at every level), and
    // no thread writes to these (this function's contract).
    unsafe { core::slice::from_raw_parts(start, count) }
}

/// The same for the model checker: plain loads, which report a race with the writer. The copy is
/// never freed.
///
/// # Safety
/// As above.
#[cfg(loom)]
#[allow(unsafe_code)]
pub(super) unsafe fn borrow(words: &[Word]) -> &[usize] {
    // SAFETY: this function's contract; loom reports it if the caller is wrong.
    let words = words.iter().map(|word| unsafe { word.0.unsync_load() });
    alloc::vec::Vec::leak(words.collect())
}

impl<'a> Slot<'a> {
    /// Stores the length of a message if the ring has a word for it. The writer never loads this
    /// word: a load would transfer the line from the reader, and the store would request it a
    /// second time.
    #[inline(always)]
    pub(super) fn set_length(&self, length: usize) {
        if let Some(word) = self.length {
            word.store(length, Ordering::Relaxed);
        }
    }

    /// The words of the message, borrowed in place.
    ///
    /// # Safety
    /// No thread writes to them while the reference lives.
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) unsafe fn borrow(&self) -> &'a [usize] {
        // SAFETY: this function's contract.
        unsafe { borrow(self.words) }
    }

    /// Copies words into the slot.
    ///
    /// # Panics
    /// If the slot has fewer words.
    #[inline(always)]
    pub(super) fn copy_in(&self, words: &[usize]) {
        store_all(self.words, |word| &word.0, words);
    }

    /// Copies words out of the slot, as many as both have.
    #[inline(always)]
    pub(super) fn copy_out(&self, message: &mut [usize]) {
        // Nearly always `message` has no more words than a slot. If its length is a constant, the
        // compiler knows then how many are copied.
        if message.len() <= self.words.len() {
            load_all(self.words, |word| &word.0, message);
        } else {
            load_all(self.words, |word| &word.0, &mut message[..self.words.len()]);
        }
    }
}
