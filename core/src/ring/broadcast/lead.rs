//! What an end keeps of its ring, so that the way to a message leads over one pointer: the handle, where the slots
//! begin, and a gating reader's own words.

#![allow(unsafe_code)]

use core::ops::Deref;
use core::ptr::NonNull;

use super::slot::Slot;
use super::storage::{HEADER_WORDS, ReaderWords, Storage, Word};
use super::{Broadcast, Handle};

/// An end's way to its ring, which it keeps alive.
#[derive(Debug)]
pub(super) struct Lead<H: Handle> {
    ring: H,
    slots: NonNull<Word>,
    /// One less than the number of slots, a power of two.
    mask: usize,
    slot_words: usize,
    reader: Option<Reader>,
}

/// The entry of a gating reader.
#[derive(Debug)]
struct Reader {
    index: usize,
    words: NonNull<ReaderWords>,
}

// SAFETY: the pointers are used as the references are that the handle gives.
unsafe impl<H: Handle<Storage: Sync> + Send> Send for Lead<H> {}
// SAFETY: as above.
unsafe impl<H: Handle<Storage: Sync> + Sync> Sync for Lead<H> {}

impl<H: Handle> Lead<H> {
    pub(super) fn new(ring: H) -> Lead<H> {
        let (slots, mask) = (NonNull::from(ring.storage.slots()).cast(), ring.capacity - 1);
        Lead { slots, mask, slot_words: ring.slot_words, reader: None, ring }
    }

    /// For a gating reader with this entry.
    pub(super) fn of_reader(ring: H, index: usize) -> Lead<H> {
        let words = ring.storage.reader(index).map(NonNull::from);
        let reader = words.map(|words| Reader { index, words });
        Lead { reader, ..Lead::new(ring) }
    }

    /// The handle itself.
    pub(super) fn handle(&self) -> &H {
        &self.ring
    }

    /// The entry of a gating reader.
    #[inline]
    pub(super) fn entry(&self) -> Option<usize> {
        self.reader.as_ref().map(|reader| reader.index)
    }

    /// From now on this is no gating reader's; its entry.
    pub(super) fn give_up_entry(&mut self) -> Option<usize> {
        self.reader.take().map(|reader| reader.index)
    }

    /// The words of a gating reader.
    #[inline]
    pub(super) fn reader(&self) -> Option<&ReaderWords> {
        // SAFETY: words of the ring's storage, which the handle keeps where it is (the contracts of both).
        self.reader.as_ref().map(|reader| unsafe { reader.words.as_ref() })
    }

    /// The slot of a sequence, with all its words.
    #[inline]
    pub(super) fn slot(&self, sequence: usize) -> Slot<'_> {
        self.slot_for(sequence, self.slot_words - HEADER_WORDS)
    }

    /// The slot with the words that a message of so many takes: where the number is a constant, what is done to each
    /// needs no loop.
    ///
    /// # Panics
    /// If the message has more words than a slot.
    #[inline(always)]
    pub(super) fn slot_for(&self, sequence: usize, words: usize) -> Slot<'_> {
        let needed = HEADER_WORDS + words;
        assert!(needed <= self.slot_words, "the message has more words than a slot");
        // SAFETY: the storage has as many words as its slots take (`Broadcast::over`), and this is one of the slots.
        let start = unsafe { self.slots.add((sequence & self.mask) * self.slot_words) };
        // SAFETY: not more than a slot's words, as was just seen; the handle keeps them where they are.
        match unsafe { core::slice::from_raw_parts(start.as_ptr(), needed) } {
            [stamp, length, words @ ..] => Slot { stamp: &stamp.0, length: &length.0, words },
            // It has at least its header.
            _ => unreachable!("a slot without a header"),
        }
    }
}

impl<H: Handle> Deref for Lead<H> {
    type Target = Broadcast<H::Storage>;

    #[inline]
    fn deref(&self) -> &Broadcast<H::Storage> {
        &self.ring
    }
}
