//! `stamped`: one writer, one reader, FIFO; the layout with a stamp in each slot.
//!
//! This is the same ring as [`spsc`](crate::ring::spsc), with the same ends, but the writer
//! publishes an item by a word beside the item: the item's position plus one. Stamp and item reach
//! the reader in one cache line, so a round trip costs two transfers instead of four, and large
//! items do not wait for the cache line of an index. For items of one word, and for batches, `spsc`
//! moves fewer bytes. (The idea is from FastForward: Giacomoni, Moseley, Vachharajani, 2008.)
//!
//! Room is published as in `spsc`: by the reader's position, every few pops. Read `spsc/` first.
//!
//! ```
//! use mycelium_core::ring::{spsc::Spsc, stamped};
//!
//! static RING: stamped::Inline<[u64; 7], 64> = stamped::Inline::new();
//!
//! let mut writer = Spsc::producer(&RING).expect("the only writer");
//! let mut reader = Spsc::consumer(&RING).expect("the only reader");
//! writer.try_push([7; 7])?;
//! assert_eq!(reader.try_pop(), Ok([7; 7]));
//! # Ok::<(), mycelium_core::ring::PushError<[u64; 7]>>(())
//! ```

#![allow(unsafe_code)]

use super::CapacityError;
#[cfg(feature = "alloc")]
use super::Heap;
use super::cell::{self, Cell};
use super::slots::Slots;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
use super::spsc::{Consumer, Producer};
use super::spsc::{SideState, SlotLayout, Spsc, ring_types};
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order};

ring_types! {
    /// [`spsc`](crate::ring::spsc) has the same ends.
    Slot
}

/// A slot with its stamp, aligned so that no single store to the item straddles two cache lines.
#[derive(Debug)]
#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(align(16)))]
pub struct Slot<T> {
    cell: cell::Slot<T>,
    /// The position of the item plus one, once the item was put.
    stamp: AtomicUsize,
}

impl<T> Slot<T> {
    const_unless_loom! {
        /// Creates an empty slot.
        #[must_use]
        pub const fn new() -> Slot<T> {
            Slot { stamp: AtomicUsize::new(0), cell: cell::Slot::new() }
        }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot::new()
    }
}

// SAFETY: the inner cell keeps the contract.
unsafe impl<T> Cell for Slot<T> {
    type Item = T;

    #[inline]
    unsafe fn put(&self, item: T) {
        // SAFETY: this function's contract; the cell begins the slot (`repr(C)`), which is aligned
        // to a piece.
        unsafe { self.cell.put_in_order(item) };
    }

    #[inline]
    unsafe fn take(&self) -> T {
        // SAFETY: this function's contract.
        unsafe { self.cell.take() }
    }

    #[inline]
    unsafe fn borrow(&self) -> &T {
        // SAFETY: this function's contract.
        unsafe { self.cell.borrow() }
    }
}

// SAFETY: a stamp is stored after its item was put, with Release, and loaded with Acquire. A stamp
// of another lap is another number.
unsafe impl<T> SlotLayout for Slot<T> {
    // False, because the reader counts only the stamps that it loads.
    const COUNTS: bool = false;

    #[inline]
    fn show(_: &SideState, slots: &Slots<Self>, position: usize, count: usize) {
        for position in (0..count).map(|index| position.wrapping_add(index)) {
            // SAFETY: the caller has an end of the ring, so it is alive.
            let slot = unsafe { slots.at(position) };
            // Release, pairs with the Acquire of `check`: the item.
            slot.stamp.store(position.wrapping_add(1), order!("stamped.push", Release));
        }
    }

    #[inline]
    fn check(_: &SideState, slots: &Slots<Self>, position: usize, most: usize) -> usize {
        let shown = |index: usize| {
            let position = position.wrapping_add(index);
            // SAFETY: as above.
            let slot = unsafe { slots.at(position) };
            // Acquire, pairs with the Release of `show`: the item.
            slot.stamp.load(order!("stamped.look", Acquire)) == position.wrapping_add(1)
        };
        // Checks the first item alone, because most checks are for one item.
        if most == 0 || !shown(0) {
            return 0;
        }
        let mut count = 1;
        while count < most && shown(count) {
            count += 1;
        }
        count
    }

    fn count(_: &SideState, slots: &Slots<Self>, position: usize) -> usize {
        // Items are published in order, so a binary search finds the first one that is not.
        let (mut shown, mut unknown) = (0, slots.capacity());
        while unknown > 0 {
            let half = unknown / 2;
            let middle = position.wrapping_add(shown + half);
            // SAFETY: as above.
            let slot = unsafe { slots.at(middle) };
            if slot.stamp.load(Ordering::Relaxed) == middle.wrapping_add(1) {
                shown += half + 1;
                unknown -= half + 1;
            } else {
                unknown = half;
            }
        }
        shown
    }

    fn save_position(writer: &SideState, position: usize) {
        // The next writer reads this position, and so does the drop of the ring.
        writer.position.store(position, Ordering::Relaxed);
    }

    #[inline]
    fn prefetch_put(slots: &Slots<Self>, position: usize, limit: usize, is_ahead: bool) -> usize {
        // A reader at the writer's heels loads each slot before it has an item, and so takes back
        // the line of a prefetch.
        if is_ahead { slots.prefetch_ahead::<true, 8>(position, limit) } else { limit }
    }

    #[inline]
    fn prefetch_take(slots: &Slots<Self>, position: usize, limit: usize, is_behind: bool) -> usize {
        // A check finds no more items than it needs, so the limit says little. In a ring of fewer
        // than 64 lines the writer may be there already, a lap later.
        if is_behind && slots.capacity() >= 8 * Slots::<Self>::after(8) {
            slots.prefetch::<false, 8>(position);
        }
        limit
    }

    #[inline]
    fn run(slots: &Slots<Self>, position: usize) -> usize {
        // A check takes the cache line to which the writer writes the next item, so it counts all
        // items up to the end of this line.
        slots.left_in_line(position).min(slots.capacity() / 2)
    }

    fn reset(slots: &Slots<Self>, position: usize) {
        for position in (0..slots.capacity()).map(|index| position.wrapping_add(index)) {
            // SAFETY: as above.
            let slot = unsafe { slots.at(position) };
            slot.stamp.store(position, Ordering::Relaxed);
        }
    }
}
