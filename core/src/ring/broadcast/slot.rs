//! One slot: its stamp, the length of its message where messages differ in length, and the words of the message.

use super::storage::Word;
use crate::sync::{AtomicUsize, Ordering, store_all};

pub(super) use crate::ring::is_after;

/// A message's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    pub(super) stamp: &'a AtomicUsize,
    /// Only in rings whose messages differ in length.
    pub(super) length: Option<&'a AtomicUsize>,
    pub(super) words: &'a [Word],
}

/// What the stamp of its slot says about a message.
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
    /// What `stamp` says about the message `sequence` in a ring of `capacity`.
    #[inline]
    pub(super) fn judge(stamp: usize, sequence: usize, capacity: usize) -> Stamp {
        let published = sequence.wrapping_add(1);
        if stamp == published {
            Stamp::Published
        } else if !is_after(stamp, published) {
            Stamp::Before
        } else {
            // The slot holds, or is being given, a message some whole laps later.
            let laps = stamp.wrapping_sub(published).div_ceil(capacity);
            Stamp::Overwritten { by: sequence.wrapping_add(laps.wrapping_mul(capacity)) }
        }
    }
}

/// Words as they lie there.
///
/// # Safety
/// Nobody writes to them while the reference lives.
#[cfg(not(loom))]
#[allow(unsafe_code)]
#[inline(always)]
pub(super) unsafe fn borrow(words: &[Word]) -> &[usize] {
    crate::sync::seen!(Load, words);
    let (start, count) = (words.as_ptr().cast(), words.len());
    // SAFETY: a `Word` is an atomic word and nothing else (`repr(transparent)` all the way down), and nobody writes to
    // these (this function's contract).
    unsafe { core::slice::from_raw_parts(start, count) }
}

/// As above, for the model checker: plain loads that report a race with the writer. The copy is never freed.
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
    /// Stores the length of a message where the ring keeps one. The word is never loaded by the writer: a load would
    /// bring the line over from the reader, and the store would ask for it a second time.
    #[inline(always)]
    pub(super) fn set_length(&self, length: usize) {
        if let Some(word) = self.length {
            word.store(length, Ordering::Relaxed);
        }
    }

    /// The words as they lie there.
    ///
    /// # Safety
    /// Nobody writes to them while the reference lives.
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) unsafe fn borrow(&self) -> &'a [usize] {
        // SAFETY: this function's contract.
        unsafe { borrow(self.words) }
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
