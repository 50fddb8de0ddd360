//! How the writer shows items to the reader: by its position, or by a stamp in each slot.

use crate::ring::cell::{Cell, Slot};
use crate::ring::pair::SideState;
use crate::ring::slots::Slots;
use crate::sync::{Ordering, order};

/// A slot, and the way its items are shown. What is provided is the layout with an index; [`stamped`](crate::ring::stamped)
/// has the other one.
///
/// # Safety
/// `look` counts an item only if `show` was called for it and what the writer did before is visible.
#[allow(unsafe_code)]
pub unsafe trait SlotLayout: Cell + Sized {
    /// Whether a look tells how many items there are, so that a high-water mark can be made of it.
    #[doc(hidden)]
    const COUNTS: bool = true;

    /// Shows `count` items from a position on.
    #[doc(hidden)]
    #[inline]
    fn show(writer: &SideState, slots: &Slots<Self>, position: usize, count: usize) {
        let _ = slots;
        // Release, with the Acquire of `look`: the items.
        writer.position.store(position.wrapping_add(count), order!("spsc.push", Release));
    }

    /// How many items are shown from a position on. More than `most` of them need not be counted.
    #[doc(hidden)]
    #[inline]
    fn look(writer: &SideState, slots: &Slots<Self>, position: usize, most: usize) -> usize {
        let _ = (slots, most);
        // Acquire, with the Release of `show`: the items.
        writer.position.load(order!("spsc.look", Acquire)).wrapping_sub(position)
    }

    /// As `look` for all of them, for who only wants the number: what the writer did may not be visible.
    #[doc(hidden)]
    fn count(writer: &SideState, slots: &Slots<Self>, position: usize) -> usize {
        writer.position.load(Ordering::Relaxed).wrapping_sub(position).min(slots.capacity())
    }

    /// Keeps the position for the next writer, where `show` does not.
    #[doc(hidden)]
    fn leave(writer: &SideState, position: usize) {
        let _ = (writer, position);
    }

    /// How far the writer may go from a position, up to `limit`, before it asks again; asks for what comes soon. Without
    /// that, a line comes over from the reader's core only when it is stored to, and what is stored after that waits.
    #[doc(hidden)]
    #[inline]
    fn before_put(slots: &Slots<Self>, position: usize, limit: usize) -> usize {
        slots.ask_ahead::<true, 8>(position, limit)
    }

    /// As `before_put`, for the reader.
    #[doc(hidden)]
    #[inline]
    fn before_take(slots: &Slots<Self>, position: usize, limit: usize) -> usize {
        slots.ask_ahead::<false, 4>(position, limit)
    }

    /// How many items a look has to find for a reader that slips not to let the writer get ahead. Here it takes the line
    /// of the writer's position, whatever the size of the items.
    #[doc(hidden)]
    #[inline]
    fn run(slots: &Slots<Self>, position: usize) -> usize {
        let _ = position;
        8.min(slots.capacity() / 2)
    }

    /// Makes slots what they are before a ring's first item.
    #[doc(hidden)]
    fn reset(slots: &Slots<Self>, position: usize) {
        let _ = (slots, position);
    }
}

// SAFETY: the writer's position is stored after the items were put, with Release, and loaded with Acquire.
#[allow(unsafe_code)]
unsafe impl<T> SlotLayout for Slot<T> {}
