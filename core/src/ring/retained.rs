//! Retained values: slots beside a [broadcast ring](super::broadcast) in which its writer keeps
//! values for readers that join later. The writer waits for no reader, and no reader for the writer.
//!
//! The writer puts a value into a slot *before* it pushes the value to the ring. A reader first
//! joins the ring, at a position `joined`, and then reads the slots: a value before `joined` is a
//! retained one, and all others follow in the ring. A slot that the writer changes meanwhile gets a
//! value from `joined` on, so the reader leaves it out, and neither misses a value nor gets one
//! twice.

use core::ops::Deref;

use super::broadcast::{LazyWords, Word, lazy_words};
use super::{CapacityError, Storage, is_after};
use crate::sync::{AtomicUsize, Ordering, barrier, load_all, order, pause, store_all};

/// The words before the value in a slot: the version, which is odd while the slot is written, the
/// position in the ring, and one more than the number of bytes; 0 in a slot without a value.
const HEAD: usize = 3;
const VERSION: usize = 0;
const POSITION: usize = 1;
const LENGTH: usize = 2;

/// The slots of one writer. Their memory is provided as it is first used.
#[derive(Debug)]
pub struct RetainedSlots {
    words: LazyWords,
    /// The words of one slot.
    stride: usize,
    /// How often a writer was asked for.
    writers: AtomicUsize,
    /// The position after the last value that was put.
    end: AtomicUsize,
}

impl RetainedSlots {
    /// The bytes that a slot takes beside its value.
    pub const HEAD_BYTES: usize = HEAD * size_of::<usize>();

    /// Creates empty slots for values of up to `bytes` bytes each.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(slots: usize, bytes: usize) -> Result<RetainedSlots, CapacityError> {
        let stride = HEAD + bytes.div_ceil(size_of::<usize>());
        let words = lazy_words(stride.saturating_mul(slots))?;
        let (writers, end) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(RetainedSlots { words, stride, writers, end })
    }

    /// Returns the number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.words.slots().len() / self.stride
    }

    /// Reads a slot for a reader that has joined the ring at `joined`: copies the value to `into`,
    /// and returns its position in the ring and its length in bytes. Returns `None` if the slot has
    /// no value before `joined`, or `into` has too few words.
    ///
    /// # Panics
    /// If the slots are fewer.
    pub fn read(&self, slot: usize, joined: usize, into: &mut [usize]) -> Option<(usize, usize)> {
        self.see(joined);
        let words = self.slot(slot);
        let version = words[VERSION].0.load(order!("retained.version", Acquire));
        let position = words[POSITION].0.load(Ordering::Relaxed);
        let length = words[LENGTH].0.load(Ordering::Relaxed).checked_sub(1)?;
        let count = length.div_ceil(size_of::<usize>());
        let (from, into) = (words.get(HEAD..HEAD + count)?, into.get_mut(..count)?);
        load_all(from, |word| &word.0, into);
        barrier!("retained.recheck-fence", Acquire);
        let is_whole = version.is_multiple_of(2);
        if !is_whole || words[VERSION].0.load(Ordering::Relaxed) != version {
            return None;
        }
        // Relaxed: the writer stored the end before this value, which is whole. Values of any age
        // are before `joined`, although positions wrap: only those from there to the end are not.
        let end = self.end.load(Ordering::Relaxed);
        let is_live = position.wrapping_sub(joined) <= end.wrapping_sub(joined);
        (!is_live).then_some((position, length))
    }

    /// Returns the position in the ring of the value in a slot, for a reader that has joined at
    /// `joined`; `None` if it has none. The writer may have changed the slot meanwhile.
    ///
    /// # Panics
    /// If the slots are fewer.
    pub fn position(&self, slot: usize, joined: usize) -> Option<usize> {
        self.see(joined);
        let words = self.slot(slot);
        let has_value = words[LENGTH].0.load(Ordering::Relaxed) > 0;
        has_value.then(|| words[POSITION].0.load(Ordering::Relaxed))
    }

    /// Waits for the values before `joined`. The writer has put them, and waits for nothing between
    /// that and the push, which this reader has seen: so the stores are about to arrive.
    fn see(&self, joined: usize) {
        while is_after(joined, self.end.load(order!("retained.seen", Acquire))) {
            pause();
        }
    }

    fn slot(&self, slot: usize) -> &[Word] {
        &self.words.slots()[slot * self.stride..][..self.stride]
    }
}

/// The writer of the slots. `H` is a pointer to them.
#[derive(Debug)]
pub struct RetainedWriter<H: Deref<Target = RetainedSlots>>(H);

impl<H: Deref<Target = RetainedSlots>> RetainedWriter<H> {
    /// Creates the writer. Returns `None` if the slots have, or had, another one.
    pub fn new(slots: H) -> Option<RetainedWriter<H>> {
        let is_first = slots.writers.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then_some(RetainedWriter(slots))
    }

    /// Replaces the value in a slot, before the value is pushed to the ring at `position`. `words`
    /// has the `length` bytes of the value.
    ///
    /// # Panics
    /// If the slots are fewer, or the value is longer than a slot.
    pub fn put(&mut self, slot: usize, position: usize, words: &[usize], length: usize) {
        self.write(slot, length + 1, |to| {
            to[POSITION].0.store(position, Ordering::Relaxed);
            store_all(&to[HEAD..], |word| &word.0, words);
        });
        self.0.end.store(position.wrapping_add(1), order!("retained.put", Release));
    }

    /// Removes the value from a slot.
    ///
    /// # Panics
    /// If the slots are fewer.
    pub fn clear(&mut self, slot: usize) {
        self.write(slot, 0, |_| {});
    }

    fn write(&mut self, slot: usize, length: usize, write: impl FnOnce(&[Word])) {
        let words = self.0.slot(slot);
        // Relaxed: no other thread writes.
        let version = words[VERSION].0.load(Ordering::Relaxed);
        words[VERSION].0.store(version.wrapping_add(1), Ordering::Relaxed);
        barrier!("retained.write-fence", Release);
        words[LENGTH].0.store(length, Ordering::Relaxed);
        write(words);
        words[VERSION].0.store(version.wrapping_add(2), order!("retained.written", Release));
    }
}
