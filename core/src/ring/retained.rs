//! Retained values: slots beside a [broadcast ring](super::broadcast) in which its writer keeps
//! values for readers that join later. Wait-free on both sides, and no reader is ever waited for.
//!
//! The writer puts a value into a slot *before* it pushes the value to the ring. A reader first
//! joins the ring, at a position `joined`, and then reads the slots: a value before `joined` is a
//! retained one, and all others follow in the ring. A slot that the writer changes meanwhile gets a
//! value from `joined` on, so the reader leaves it out, and neither misses a value nor gets one
//! twice.

use alloc::boxed::Box;
use core::ops::Deref;

use super::is_after;
use crate::sync::{AtomicUsize, Ordering, barrier, load_all, order, pause, store_all};

/// The words before the value in a slot: the version, which is odd while the slot is written, the
/// position in the ring, and the number of bytes.
const HEAD: usize = 3;
const VERSION: usize = 0;
const POSITION: usize = 1;
const LENGTH: usize = 2;
/// The number of bytes of a slot without a value.
const NONE: usize = usize::MAX;

/// The slots of one writer.
#[derive(Debug)]
pub struct RetainedSlots {
    words: Box<[AtomicUsize]>,
    /// The words of one slot.
    stride: usize,
    /// The number of attempts to create the writer.
    has_writer: AtomicUsize,
    /// The position after the last value that was put.
    end: AtomicUsize,
}

impl RetainedSlots {
    /// The bytes that a slot takes beside its value.
    pub const HEAD_BYTES: usize = HEAD * size_of::<usize>();

    /// Creates empty slots for values of up to `bytes` bytes each. Returns `None` if they exceed
    /// the address space.
    #[must_use]
    pub fn new(slots: usize, bytes: usize) -> Option<RetainedSlots> {
        let stride = HEAD + bytes.div_ceil(size_of::<usize>());
        let count = stride.checked_mul(slots)?;
        count.checked_mul(size_of::<usize>()).filter(|bytes| isize::try_from(*bytes).is_ok())?;
        let initial = |index: usize| if index % stride == LENGTH { NONE } else { 0 };
        let words = (0..count).map(|index| AtomicUsize::new(initial(index))).collect();
        Some(RetainedSlots {
            words,
            stride,
            has_writer: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        })
    }

    /// Returns the number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.words.len() / self.stride
    }

    /// Reads a slot for a reader that has joined the ring at `joined`: copies the value to `into`,
    /// and returns its position in the ring and its length in bytes. Returns `None` if the slot has
    /// no value before `joined`, or `into` has too few words.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn read(&self, slot: usize, joined: usize, into: &mut [usize]) -> Option<(usize, usize)> {
        // The writer has put all values before `joined`. It waits for nothing between that and the
        // push, which this reader has seen, so this loop only waits for the stores to arrive.
        while is_after(joined, self.end.load(order!("retained.seen", Acquire))) {
            pause();
        }
        let words = self.slot(slot);
        let version = words[VERSION].load(order!("retained.version", Acquire));
        let position = words[POSITION].load(Ordering::Relaxed);
        let length = words[LENGTH].load(Ordering::Relaxed);
        if length == NONE {
            return None;
        }
        let count = length.div_ceil(size_of::<usize>());
        let (from, into) = (words.get(HEAD..HEAD + count)?, into.get_mut(..count)?);
        load_all(from, |word| word, into);
        barrier!("retained.recheck-fence", Acquire);
        let is_whole = version.is_multiple_of(2);
        if !is_whole || words[VERSION].load(Ordering::Relaxed) != version {
            return None;
        }
        // Relaxed: the writer stored the end before this value, which is whole. Values of any age
        // are before `joined`, although positions wrap: only those from there to the end are not.
        let end = self.end.load(Ordering::Relaxed);
        let is_live = position.wrapping_sub(joined) <= end.wrapping_sub(joined);
        (!is_live).then_some((position, length))
    }

    fn slot(&self, slot: usize) -> &[AtomicUsize] {
        &self.words[slot * self.stride..][..self.stride]
    }
}

/// The writer of the slots. `H` is a pointer to them.
#[derive(Debug)]
pub struct RetainedWriter<H: Deref<Target = RetainedSlots>>(H);

impl<H: Deref<Target = RetainedSlots>> RetainedWriter<H> {
    /// Creates the writer. Returns `None` if the slots have, or had, another one.
    pub fn new(slots: H) -> Option<RetainedWriter<H>> {
        let had_writer = slots.has_writer.fetch_add(1, Ordering::Relaxed) > 0;
        (!had_writer).then_some(RetainedWriter(slots))
    }

    /// Replaces the value in a slot, before the value is pushed to the ring at `position`. `words`
    /// has the `length` bytes of the value.
    ///
    /// # Panics
    /// If there is no such slot, or the value is longer than the slots.
    pub fn put(&mut self, slot: usize, position: usize, words: &[usize], length: usize) {
        self.write(slot, length, |to| {
            to[POSITION].store(position, Ordering::Relaxed);
            store_all(&to[HEAD..], |word| word, words);
        });
        self.0.end.store(position.wrapping_add(1), order!("retained.put", Release));
    }

    /// Removes the value from a slot.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn clear(&mut self, slot: usize) {
        self.write(slot, NONE, |_| {});
    }

    fn write(&mut self, slot: usize, length: usize, write: impl FnOnce(&[AtomicUsize])) {
        let words = self.0.slot(slot);
        // Relaxed: no other thread writes.
        let version = words[VERSION].load(Ordering::Relaxed);
        words[VERSION].store(version.wrapping_add(1), Ordering::Relaxed);
        barrier!("retained.write-fence", Release);
        words[LENGTH].store(length, Ordering::Relaxed);
        write(words);
        words[VERSION].store(version.wrapping_add(2), order!("retained.written", Release));
    }
}
