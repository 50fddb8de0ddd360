//! Rings in arrays, for a `static`, and on the heap.

#[cfg(not(loom))]
use super::storage::Inline;
#[cfg(feature = "alloc")]
use super::storage::{ReaderWords, Storage, WriterWords};
#[cfg(any(feature = "alloc", not(loom)))]
use super::storage::{Word, slot_words};
#[cfg(any(feature = "alloc", not(loom)))]
use super::{Broadcast, LayoutError};
#[cfg(not(loom))]
use crate::sync::AtomicUsize;

#[cfg(not(loom))]
impl<const WORDS: usize, const READERS: usize> Broadcast<Inline<WORDS, READERS>> {
    /// A ring for a `static`: of `capacity` messages of at most `message_bytes` bytes, `WORDS` being capacity times
    /// [`slot_words`], with entries for `READERS` gating readers.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, Inline, slot_words};
    ///
    /// static RING: Broadcast<Inline<{ 8 * slot_words(24) }, 2>> = Broadcast::inline(8, 24);
    ///
    /// let mut writer = Broadcast::producer(&RING).expect("nobody else writes");
    /// writer.try_push(&[1, 2, 3], 24).expect("there is room");
    /// ```
    ///
    /// # Panics
    /// If the numbers do not fit; in a `static` that is an error of compilation.
    ///
    /// ```compile_fail
    /// use mycelium_core::ring::broadcast::{Broadcast, Inline, slot_words};
    /// static RING: Broadcast<Inline<{ 7 * slot_words(24) }, 2>> = Broadcast::inline(7, 24);
    /// ```
    #[must_use]
    pub const fn inline(capacity: usize, message_bytes: usize) -> Self {
        assert!(
            capacity.is_power_of_two() && capacity >= 2,
            "a capacity is a power of two of at least 2"
        );
        assert!(message_bytes <= LayoutError::LONGEST, "no slot holds a message of this size");
        let slot_words = slot_words(message_bytes);
        assert!(
            WORDS / slot_words == capacity && WORDS.is_multiple_of(slot_words),
            "WORDS is capacity times slot_words"
        );
        let mut storage = Inline::new();
        let mut slot = 0;
        while slot < capacity {
            // As `starting_at` does, which is not for constants.
            let stamp = slot.wrapping_sub(capacity).wrapping_add(1);
            storage.slots[slot * slot_words] = Word(AtomicUsize::new(stamp));
            slot += 1;
        }
        Broadcast { storage, capacity, slot_words }
    }
}

/// Storage on the heap.
#[cfg(feature = "alloc")]
#[derive(Debug)]
pub struct Boxed {
    slots: alloc::boxed::Box<[Word]>,
    writer: WriterWords,
    readers: alloc::boxed::Box<[ReaderWords]>,
}

// SAFETY: a field, and boxes that nobody exchanges.
#[cfg(feature = "alloc")]
#[allow(unsafe_code)]
unsafe impl Storage for Boxed {
    #[inline]
    fn slots(&self) -> &[Word] {
        &self.slots
    }

    #[inline]
    fn writer(&self) -> &WriterWords {
        &self.writer
    }

    #[inline]
    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.readers.get(index)
    }
}

#[cfg(feature = "alloc")]
impl Broadcast<Boxed> {
    /// A ring on the heap: of `capacity` messages of at most `message_bytes` bytes, with entries for `readers` gating
    /// readers.
    ///
    /// # Errors
    /// If there is no such ring, or no memory for it.
    pub fn boxed(
        capacity: usize,
        message_bytes: usize,
        readers: usize,
    ) -> Result<Broadcast<Boxed>, LayoutError> {
        let too_many = LayoutError::Slots { expected: None, found: 0 };
        let words = capacity.checked_mul(slot_words(message_bytes.min(LayoutError::LONGEST)));
        let storage = Boxed {
            slots: fresh(words.ok_or(too_many)?).ok_or(too_many)?,
            writer: WriterWords::new(),
            readers: fresh(readers).ok_or(too_many)?,
        };
        Broadcast::new(storage, capacity, message_bytes)
    }
}

/// So many of them, or `None` if there is no memory.
#[cfg(feature = "alloc")]
fn fresh<T: Default>(count: usize) -> Option<alloc::boxed::Box<[T]>> {
    let mut all = alloc::vec::Vec::new();
    all.try_reserve_exact(count).ok()?;
    all.resize_with(count, T::default);
    Some(all.into_boxed_slice())
}
