//! A slot: a stamp, the length of the message if messages differ in length, and its words. Each end
//! of a ring has a [`RingRef`], which caches the addresses and the layout of the ring, so that only
//! one pointer leads from an end to a message.

#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;

use super::entry::ReaderWords;
use super::storage::{Stamp, Storage, Word, WriterWords, whole_lines};
use super::{Broadcast, BroadcastHandle};
use crate::sync::{AtomicUsize, Ordering, load_all, prefetch, store_all};

/// The words of one slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    pub(super) stamp: &'a AtomicUsize,
    /// `None` in rings whose messages have one length.
    pub(super) length: Option<&'a AtomicUsize>,
    pub(super) words: &'a [Word],
}

/// Returns atomic words as plain words.
///
/// # Safety
/// No thread writes to them while the reference lives.
#[cfg(not(loom))]
#[inline(always)]
pub(super) unsafe fn borrow(words: &[Word]) -> &[usize] {
    crate::sync::seen!(Load, words);
    let (start, count) = (words.as_ptr().cast(), words.len());
    // SAFETY: a `Word` is an atomic word and nothing else (`repr(transparent)` at every level), and
    // no thread writes to these (this function's contract).
    unsafe { core::slice::from_raw_parts(start, count) }
}

/// Does the same for the model checker: plain loads, which report a race with the writer. The copy
/// is never freed.
///
/// # Safety
/// As above.
#[cfg(loom)]
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

    /// Borrows the words of the message in place.
    ///
    /// # Safety
    /// No thread writes to them while the reference lives.
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
        // Nearly always `message` has no more words than a slot. In this branch a constant length
        // makes the number of copied words a constant.
        if message.len() <= self.words.len() {
            load_all(self.words, |word| &word.0, message);
        } else {
            load_all(self.words, |word| &word.0, &mut message[..self.words.len()]);
        }
    }
}

/// A number of bytes that no message has, even with all bits inverted.
const NONE: usize = 1 << (usize::BITS - 1);
/// How many bytes ahead an end prefetches: in the time in which a line arrives, an end that does not
/// wait for it takes about this many.
const BYTES_AHEAD: usize = 8 * 64;

/// Returns how many messages ahead an end prefetches in slots that have this many words without
/// padding.
#[expect(clippy::cast_possible_truncation, reason = "a slot has at least 4 bytes")]
const fn ahead(dense: usize) -> u8 {
    let slots = BYTES_AHEAD / (whole_lines(dense) * size_of::<usize>());
    if slots == 0 { 1 } else { slots as u8 }
}

/// The value of `entry` for a reader without an entry.
const NO_ENTRY: usize = usize::MAX;
/// A size that exceeds every message, in bytes.
const TOO_LONG: usize = NONE / 2;

/// An end's reference to its ring, which it keeps alive.
#[derive(Debug)]
pub(super) struct RingRef<H: BroadcastHandle> {
    pub(super) ring: H,
    slots: NonNull<Word>,
    writer: NonNull<WriterWords>,
    /// The number of slots, which is a power of two, minus 1.
    mask: usize,
    slot_words: usize,
    /// The number of words of a message, or of the longest one.
    pub(super) message_words: usize,
    /// The number of bytes of each message, or of the longest one.
    pub(super) message_bytes: usize,
    /// The number of bytes of each message, with all bits inverted (`!`) if slots are padded;
    /// [`NONE`] if messages differ in length.
    exact: usize,
    /// The words of a gating reader, or of an observer that publishes each position.
    reader: Option<NonNull<ReaderWords>>,
    /// The index of that reader's entry, or of the entry of an observer shown by hand; or
    /// [`NO_ENTRY`].
    entry: usize,
    /// Whether messages may differ in length.
    pub(super) has_length: bool,
    /// Whether this gating reader may borrow messages: no other process writes to them, and the
    /// writer always waits.
    pub(super) may_borrow: bool,
    /// Whether the writer may stop waiting for this gating reader.
    can_be_evicted: bool,
}

// SAFETY: the pointers are used like the references that the handle gives.
unsafe impl<H: BroadcastHandle<Storage: Sync> + Send> Send for RingRef<H> {}
// SAFETY: as above.
unsafe impl<H: BroadcastHandle<Storage: Sync> + Sync> Sync for RingRef<H> {}

impl<H: BroadcastHandle> RingRef<H> {
    pub(super) fn new(ring: H) -> RingRef<H> {
        let layout = ring.layout;
        let is_padded = layout.slot_words() != layout.dense_words();
        let bytes = layout.message_bytes();
        let exact = if is_padded { !bytes } else { bytes };
        RingRef {
            slots: NonNull::from(ring.storage.slots()).cast(),
            writer: NonNull::from(ring.storage.writer()),
            mask: layout.capacity() - 1,
            slot_words: layout.slot_words(),
            message_words: layout.message_words(),
            message_bytes: bytes,
            exact: if layout.has_length() { NONE } else { exact },
            reader: None,
            entry: NO_ENTRY,
            has_length: layout.has_length(),
            may_borrow: false,
            can_be_evicted: false,
            ring,
        }
    }

    /// Creates the reference of the reader with this entry. With `may_borrow`, the writer always
    /// keeps all messages from the reader's position on. With `can_be_evicted`, the writer may stop
    /// waiting for the reader.
    pub(super) fn of_reader(
        ring: H,
        entry: usize,
        may_borrow: bool,
        can_be_evicted: bool,
    ) -> RingRef<H> {
        let words = ring.storage.reader(entry);
        // A reader whose entry only publishes a position does not block the writer, so it may be
        // overtaken, but cannot be evicted.
        let is_shown = words.is_some_and(ReaderWords::is_observing);
        let can_be_evicted = can_be_evicted || ring.storage.is_foreign() && !is_shown;
        let reader = words.map(NonNull::from);
        let entry = if reader.is_some() { entry } else { NO_ENTRY };
        let may_borrow = may_borrow && !can_be_evicted && reader.is_some();
        RingRef { reader, entry, may_borrow, can_be_evicted, ..RingRef::new(ring) }
    }

    /// Returns the index of the entry of a gating reader, or of an observer that publishes its
    /// position.
    #[inline]
    pub(super) fn entry(&self) -> Option<usize> {
        (self.entry != NO_ENTRY).then_some(self.entry)
    }

    /// Removes the entry: from now on this is not a gating reader.
    pub(super) fn take_entry(&mut self) -> Option<usize> {
        (self.may_borrow, self.can_be_evicted) = (false, false);
        let entry = self.entry();
        (self.reader, self.entry) = (None, NO_ENTRY);
        entry
    }

    /// Makes an observer publish its position only by hand from now on.
    pub(super) fn show_by_hand(&mut self) {
        if self.reader().is_some_and(ReaderWords::is_observing) {
            self.reader = None;
        }
    }

    /// Returns the index of the entry, if the writer may stop waiting for this gating reader.
    #[inline]
    pub(super) fn evictable_entry(&self) -> Option<usize> {
        if self.can_be_evicted { self.entry() } else { None }
    }

    /// Returns how many messages ahead an end prefetches while messages flow.
    pub(super) fn ahead(&self) -> u8 {
        ahead(self.ring.layout.dense_words())
    }

    /// Prefetches the first line of the slot that comes `ahead` messages after this sequence.
    #[inline(always)]
    pub(super) fn prefetch<const WRITE: bool>(&self, sequence: usize, ahead: u8) {
        let slot = (sequence.wrapping_add(ahead.into()) & self.mask) * self.slot_words;
        prefetch::<WRITE>(self.slots.as_ptr().wrapping_add(slot).cast());
    }

    /// Returns the state of a slot.
    #[inline]
    pub(super) fn stamp_at(&self, sequence: usize) -> Stamp {
        let stamp = self.slot_for(sequence, 0).stamp.load(Ordering::Relaxed);
        Stamp::of(stamp, sequence, self.mask + 1)
    }

    /// Returns the words of the writer.
    #[inline(always)]
    pub(super) fn writer(&self) -> &WriterWords {
        // SAFETY: words of the ring's storage, which the handle keeps where it is (the contracts of
        // both).
        unsafe { self.writer.as_ref() }
    }

    /// Returns the words of a gating reader, or of an observer that publishes each position.
    #[inline]
    pub(super) fn reader(&self) -> Option<&ReaderWords> {
        // SAFETY: words of the ring's storage, which the handle keeps where it is (the contracts of
        // both).
        self.reader.as_ref().map(|words| unsafe { words.as_ref() })
    }

    /// Returns the words of an observer that is shown by hand.
    #[inline]
    pub(super) fn by_hand(&self) -> Option<&ReaderWords> {
        if self.reader.is_none() { self.ring.storage.reader(self.entry()?) } else { None }
    }

    /// Returns the slots of a ring whose messages have one length.
    #[inline(always)]
    pub(super) fn slots(&self) -> FixedSlots<'_> {
        FixedSlots { first: self.slots, mask: self.mask, exact: self.exact, ring: PhantomData }
    }

    /// Does the same as [`FixedSlots::slot_of`].
    #[inline(always)]
    pub(super) fn slot_of(&self, sequence: usize, bytes: usize) -> Option<Slot<'_>> {
        self.slots().slot_of(sequence, bytes)
    }

    /// Returns the slot of a sequence, with all its words.
    #[inline]
    pub(super) fn slot(&self, sequence: usize) -> Slot<'_> {
        self.slot_for(sequence, self.message_words)
    }

    /// Returns the slot, with the first `words` of its words. If that number is a constant, copying
    /// them needs no loop.
    ///
    /// # Panics
    /// If the message has more words than a slot.
    #[inline(always)]
    pub(super) fn slot_for(&self, sequence: usize, words: usize) -> Slot<'_> {
        assert!(words <= self.message_words, "the message has more words than a slot");
        // SAFETY: the storage has as many words as its slots take (`Broadcast::new`), and this is
        // one of the slots.
        let start = unsafe { self.slots.add((sequence & self.mask) * self.slot_words) };
        // SAFETY: a slot has at least its header; the handle keeps the words where they are.
        let stamp = unsafe { start.as_ref() };
        let length = self.has_length.then(|| {
            // SAFETY: a header of more than one word has the length in its second.
            let second = unsafe { start.add(1) };
            // SAFETY: as above.
            unsafe { second.as_ref() }
        });
        // SAFETY: header and message together are at most a slot, as checked above.
        let message = unsafe { start.add(1 + usize::from(self.has_length)) };
        // SAFETY: as above.
        let words = unsafe { core::slice::from_raw_parts(message.as_ptr(), words) };
        Slot { stamp: &stamp.0, length: length.map(|word| &word.0), words }
    }
}

/// The slots of a ring, apart from its other fields.
#[derive(Clone, Copy)]
pub(super) struct FixedSlots<'a> {
    first: NonNull<Word>,
    mask: usize,
    exact: usize,
    ring: PhantomData<&'a [Word]>,
}

impl<'a> FixedSlots<'a> {
    /// Returns the slot of a sequence, if all messages of the ring have `bytes` bytes. If that is a
    /// constant, so are the size of a slot and the offsets in it.
    #[inline(always)]
    pub(super) fn slot_of(self, sequence: usize, bytes: usize) -> Option<Slot<'a>> {
        // If the length is a constant, the compiler removes this comparison.
        if bytes >= TOO_LONG {
            return None;
        }
        let words = bytes.div_ceil(size_of::<usize>());
        let (place, dense) = (sequence & self.mask, 1 + words);
        let padded = whole_lines(dense);
        let start = if bytes == self.exact {
            place * dense
        } else if padded != dense && !bytes == self.exact {
            // Written as a shift: otherwise the compiler would merge the multiplications of both
            // branches into one by a variable.
            let shift = padded.trailing_zeros();
            (place * (padded >> shift)) << shift
        } else {
            return None;
        };
        // SAFETY: such slots have the stamp and these words, the storage has as many as its slots
        // take (`Broadcast::new`), and this is one of the slots.
        let start = unsafe { self.first.add(start) };
        // SAFETY: as above; the ring keeps the words where they are.
        let stamp = unsafe { start.as_ref() };
        // SAFETY: as above.
        let message = unsafe { start.add(1) };
        // SAFETY: as above.
        let words = unsafe { core::slice::from_raw_parts(message.as_ptr(), words) };
        Some(Slot { stamp: &stamp.0, length: None, words })
    }

    /// Prefetches for a write, if all messages of the ring have `bytes` bytes, the slot that the
    /// writer fills some messages after this sequence. If that number of bytes is a constant, so is
    /// the distance.
    #[inline(always)]
    pub(super) fn prefetch_after(self, sequence: usize, bytes: usize) {
        let dense = 1 + bytes.div_ceil(size_of::<usize>());
        if let Some(slot) = self.slot_of(sequence.wrapping_add(ahead(dense).into()), bytes) {
            prefetch::<true>(core::ptr::from_ref(slot.stamp).cast());
        }
    }
}

impl<H: BroadcastHandle> Deref for RingRef<H> {
    type Target = Broadcast<H::Storage>;

    #[inline]
    fn deref(&self) -> &Broadcast<H::Storage> {
        &self.ring
    }
}
