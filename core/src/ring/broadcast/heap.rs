//! The memory of a ring on the heap: its slots, and its entries, of which more are added when
//! readers need them.
//!
//! More entries come in blocks, each twice as long as the previous one. A block is allocated once
//! and stays until the ring is dropped, so an entry never moves. A thread that joins adds a block
//! before the fence of the join; the writer looks for blocks after the fence of its check for room.
//! So the handshake between them (`Broadcast::join`) also covers a new block.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;

use super::Broadcast;
use super::entry::ReaderWords;
use super::storage::{Layout, LayoutError, Storage, Word, WriterWords};
use crate::ring::{self, CapacityError, Heap};
use crate::sync::{AtomicPtr, Ordering, order};

/// Storage on the heap.
#[derive(Debug)]
pub struct HeapStorage {
    slots: Heap<Word>,
    arena: LazyWords,
    writer: WriterWords,
    readers: Entries,
}

// SAFETY: a field, and separate memory that is never replaced.
unsafe impl Storage for HeapStorage {
    #[inline]
    fn slots(&self) -> &[Word] {
        ring::Storage::slots(&self.slots)
    }

    #[inline]
    fn arena(&self) -> &[Word] {
        ring::Storage::slots(&self.arena)
    }

    #[inline]
    fn writer(&self) -> &WriterWords {
        &self.writer
    }

    #[inline]
    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.readers.get(index)
    }

    fn grow(&self, entries: usize) -> bool {
        self.readers.grow(entries)
    }
}

impl Broadcast<HeapStorage> {
    /// Creates a ring on the heap, with entries for `readers` gating readers.
    ///
    /// # Errors
    /// If the layout is invalid, or there is not enough memory.
    pub fn boxed(layout: Layout, readers: usize) -> Result<Broadcast<HeapStorage>, LayoutError> {
        Broadcast::new(HeapStorage::new(layout, readers)?, layout)
    }
}

impl HeapStorage {
    /// Creates storage for a ring with this layout, with entries for `readers` gating readers.
    ///
    /// # Errors
    /// If the layout is invalid, or there is not enough memory.
    pub fn new(layout: Layout, readers: usize) -> Result<HeapStorage, LayoutError> {
        HeapStorage::growing(layout, readers, readers)
    }

    /// Creates storage that allocates more entries when gating readers join and find none free: up
    /// to `most`, and at most 16,380 more than `readers`.
    ///
    /// ```
    /// use mycelium_core::ring::broadcast::{Broadcast, HeapStorage, Layout};
    ///
    /// let layout = Layout::exact(4, size_of::<usize>());
    /// let ring = Broadcast::new(HeapStorage::growing(layout, 1, 3)?, layout)?;
    /// let readers: Vec<_> = (0..4).map_while(|_| Broadcast::gating(&ring)).collect();
    /// assert_eq!(readers.len(), 3);
    /// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](HeapStorage::new).
    pub fn growing(
        layout: Layout,
        readers: usize,
        most: usize,
    ) -> Result<HeapStorage, LayoutError> {
        layout.check()?;
        let arena = lazy_words(layout.arena_words());
        Ok(HeapStorage {
            slots: Heap::new(layout.words(), Word::new).map_err(|_| LayoutError::TooLarge)?,
            arena: arena.map_err(|_| LayoutError::TooLarge)?,
            writer: WriterWords::new(),
            readers: Entries::new(readers, most).ok_or(LayoutError::TooLarge)?,
        })
    }
}

/// Words on the heap, only as aligned as a word, so that large ones get their pages at their first
/// use.
pub(in crate::ring) type LazyWords = Heap<Word, { align_of::<Word>() }>;

/// Creates words of zero.
///
/// # Errors
/// If there is not enough memory.
pub(in crate::ring) fn lazy_words(count: usize) -> Result<LazyWords, CapacityError> {
    // SAFETY: a word may be zero.
    #[cfg(not(loom))]
    let words = unsafe { Heap::zeroed(count) };
    #[cfg(loom)]
    let words = Heap::new(count, Word::new);
    words
}

/// The number of entries in the first block.
const FIRST: usize = if cfg!(loom) { 1 } else { 4 };
/// The largest number of blocks.
const BLOCKS: usize = if cfg!(loom) { 2 } else { 12 };

#[derive(Debug)]
struct Entries {
    first: Box<[ReaderWords]>,
    blocks: [AtomicPtr<ReaderWords>; BLOCKS],
    /// The largest number of entries in all blocks together.
    most: usize,
}

impl Entries {
    /// Allocates `first` entries; up to `most` follow when needed, as far as there are blocks.
    /// Returns `None` if there is not enough memory.
    fn new(first: usize, most: usize) -> Option<Entries> {
        let blocks = core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
        Some(Entries { first: fresh(first)?, blocks, most: most.max(first) })
    }

    /// Returns the entry with this index, if it exists.
    #[inline]
    fn get(&self, index: usize) -> Option<&ReaderWords> {
        match self.first.get(index) {
            Some(entry) => Some(entry),
            None => self.get_added(index - self.first.len()),
        }
    }

    /// Returns the entry with this index, counted over all blocks.
    fn get_added(&self, index: usize) -> Option<&ReaderWords> {
        let number = Entries::block_of(index);
        let place = index - Entries::before(number);
        if place >= self.length(number) {
            return None;
        }
        // Acquire, pairs with the Release of `broadcast.grow`: the entries of the block.
        let block = self.blocks.get(number)?.load(order!("broadcast.grown", Acquire));
        if block.is_null() {
            return None;
        }
        // SAFETY: `grow` has allocated `length` entries there, and the place is one of them.
        let entry = unsafe { block.add(place) };
        // SAFETY: as above; they stay until `self` is dropped.
        Some(unsafe { &*entry })
    }

    /// Adds a block if there are exactly `entries` entries and more are allowed. Returns whether
    /// there are more now, added by this thread or another one.
    fn grow(&self, entries: usize) -> bool {
        if self.get(entries).is_some() {
            return true;
        }
        let index = entries - self.first.len();
        let number = Entries::block_of(index);
        let length = self.length(number);
        if index - Entries::before(number) >= length {
            return false;
        }
        let Some(place) = self.blocks.get(number) else { return false };
        let Some(block) = fresh::<ReaderWords>(length) else { return false };
        let block = Box::into_raw(block);
        // Release, pairs with the Acquire of `broadcast.grown`: the entries of the block.
        let grow = order!("broadcast.grow", Release);
        let placed = place.compare_exchange(ptr::null_mut(), block.cast(), grow, Ordering::Relaxed);
        if placed.is_err() {
            // SAFETY: made above, and not shared.
            drop(unsafe { Box::from_raw(block) });
        }
        true
    }

    /// Returns the number of the block that contains this index, counted over all blocks.
    const fn block_of(index: usize) -> usize {
        (index / FIRST + 1).ilog2() as usize
    }

    /// Returns the number of entries in all blocks before the block with this number.
    const fn before(number: usize) -> usize {
        FIRST * ((1 << number) - 1)
    }

    /// Returns the number of entries in a block. The last block may have fewer.
    fn length(&self, number: usize) -> usize {
        let left = self.most - self.first.len();
        (FIRST << number).min(left.saturating_sub(Entries::before(number)))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        for number in 0..BLOCKS {
            let block = self.blocks[number].load(Ordering::Relaxed);
            if !block.is_null() {
                let block = ptr::slice_from_raw_parts_mut(block, self.length(number));
                // SAFETY: `grow` made it of a box of this length, and every reference to it
                // borrowed `self`.
                drop(unsafe { Box::from_raw(block) });
            }
        }
    }
}

/// Allocates `count` values; `None` if there is not enough memory.
fn fresh<T: Default>(count: usize) -> Option<Box<[T]>> {
    let mut all = Vec::new();
    all.try_reserve_exact(count).ok()?;
    all.resize_with(count, T::default);
    Some(all.into_boxed_slice())
}
