//! How the writer shows items to the reader: by its position, or by a stamp in each slot.

use core::ops::Deref;

use crate::ring::cell::{Cell, Slot};
use crate::ring::pair::{Memory, SideState};
use crate::ring::slots::Slots;
use crate::sync::{Ordering, order};

/// A kind of slot, and how its items are shown. The provided methods are those of the layout with
/// an index; [`stamped`](crate::ring::stamped) overrides them.
///
/// # Safety
/// `check` counts an item only if `show` was called for it and what the writer did before is
/// visible.
#[allow(unsafe_code)]
pub unsafe trait SlotLayout: Cell + Sized {
    /// Whether a check counts all items, so that the reader can keep a high-water mark.
    #[doc(hidden)]
    const COUNTS: bool = true;

    /// Shows `count` items from a position on.
    #[doc(hidden)]
    #[inline]
    fn show(writer: &SideState, slots: &Slots<Self>, position: usize, count: usize) {
        let _ = slots;
        // Release, pairs with the Acquire of `check`: the items.
        writer.position.store(position.wrapping_add(count), order!("spsc.push", Release));
    }

    /// How many items are shown from a position on. More than `most` need not be counted.
    #[doc(hidden)]
    #[inline]
    fn check(writer: &SideState, slots: &Slots<Self>, position: usize, most: usize) -> usize {
        let _ = (slots, most);
        // Acquire, pairs with the Release of `show`: the items.
        writer.position.load(order!("spsc.look", Acquire)).wrapping_sub(position)
    }

    /// The number of all items from a position on. What the writer did may not be visible.
    #[doc(hidden)]
    fn count(writer: &SideState, slots: &Slots<Self>, position: usize) -> usize {
        writer.position.load(Ordering::Relaxed).wrapping_sub(position).min(slots.capacity())
    }

    /// Stores the position for the next writer, if `show` does not.
    #[doc(hidden)]
    fn save_position(writer: &SideState, position: usize) {
        let _ = (writer, position);
    }

    /// Prefetches the slots that the writer will soon fill, and returns where it must call this
    /// again: at most `limit`. Without it, a line is transferred from the reader's core only at the
    /// store, and the stores after it wait.
    #[doc(hidden)]
    #[inline]
    fn prefetch_put(slots: &Slots<Self>, position: usize, limit: usize) -> usize {
        slots.prefetch_ahead::<true, 8>(position, limit)
    }

    /// The same for the reader.
    #[doc(hidden)]
    #[inline]
    fn prefetch_take(slots: &Slots<Self>, position: usize, limit: usize) -> usize {
        slots.prefetch_ahead::<false, 4>(position, limit)
    }

    /// A reader that slips lets the writer get ahead if a check finds fewer items than this. A
    /// check takes the line of the writer's position, so the number does not depend on the size of
    /// the items.
    #[doc(hidden)]
    #[inline]
    fn run(slots: &Slots<Self>, position: usize) -> usize {
        let _ = position;
        8.min(slots.capacity() / 2)
    }

    /// Prepares slots for a ring that begins at a position.
    #[doc(hidden)]
    fn reset(slots: &Slots<Self>, position: usize) {
        let _ = (slots, position);
    }
}

// SAFETY: the writer's position is stored after the items were put, with Release, and loaded with
// Acquire.
#[allow(unsafe_code)]
unsafe impl<T> SlotLayout for Slot<T> {}

/// The ring that a handle leads to.
#[doc(hidden)]
pub trait Ring {
    /// The memory of the ring.
    type Memory: Memory<Slot = Self::Slot>;
    /// The slot type.
    type Slot: SlotLayout;

    /// The memory of the ring.
    fn memory(&self) -> &Self::Memory;
}

pub(super) type SlotOf<H> = <<H as Deref>::Target as Ring>::Slot;
pub(super) type ItemOf<H> = <SlotOf<H> as Cell>::Item;
