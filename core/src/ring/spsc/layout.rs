//! The words that both ends of a ring for one writer and one reader share, and the trait of the two
//! ways to publish items: by the writer's position, or by a stamp in each slot.

use core::ops::Deref;

use crossbeam_utils::CachePadded;

use crate::ring::cell::{Cell, Slot};
use crate::ring::slots::Slots;
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order};

/// The words that one side writes. Its position is on a cache line of its own; the rarely written
/// words share another one.
#[derive(Debug, Default)]
#[repr(C)]
pub struct SideState {
    /// For the writer, the position of the next item. For the reader, the position before which all
    /// items were taken.
    pub(in crate::ring) position: CachePadded<AtomicUsize>,
    rare: CachePadded<RareState>,
}

#[derive(Debug, Default)]
#[repr(C)]
struct RareState {
    taken: AtomicUsize,
    closed: AtomicUsize,
    /// The largest number of items that this side has seen in the ring at once.
    high_water: AtomicUsize,
}

impl SideState {
    const_unless_loom! {
        /// Creates the side of a new ring, whose end is free.
        #[must_use]
        pub const fn new() -> SideState {
            SideState {
                position: CachePadded::new(AtomicUsize::new(0)),
                rare: CachePadded::new(RareState {
                    taken: AtomicUsize::new(0),
                    closed: AtomicUsize::new(0),
                    high_water: AtomicUsize::new(0),
                }),
            }
        }
    }

    /// Takes this side's end, unless it is taken or closed. Returns whether it did.
    #[cfg(target_has_atomic = "ptr")]
    pub(super) fn take(&self) -> bool {
        // Acquire, pairs with the Release of `pair.release`: the position of the previous owner,
        // and its slots.
        let took =
            self.rare.taken.compare_exchange(0, 1, order!("pair.take", Acquire), Ordering::Relaxed);
        if took.is_ok() && self.is_closed() {
            // Releases the side with Release, as an end does: the next thread that takes it must
            // also see the close.
            self.release();
            return false;
        }
        took.is_ok()
    }

    /// Does the same as [`take`](SideState::take), for a caller with exclusive access to the ring,
    /// which needs no compare-and-swap.
    pub(super) fn take_exclusive(&mut self) -> bool {
        let free = !self.is_taken() && !self.is_closed();
        if free {
            self.rare.taken.store(1, Ordering::Relaxed);
        }
        free
    }

    /// Makes the end free. The position was stored before.
    pub(super) fn release(&self) {
        // Release, pairs with the Acquire of `pair.take`: the next owner continues from the
        // position.
        self.rare.taken.store(0, order!("pair.release", Release));
    }

    /// Returns whether the end is taken, or was forgotten (`mem::forget`).
    pub(super) fn is_taken(&self) -> bool {
        self.rare.taken.load(Ordering::Relaxed) != 0
    }

    pub(super) fn close(&self) {
        // Release, pairs with the Acquire of `pair.closed`: everything that this side did.
        self.rare.closed.store(1, order!("pair.close", Release));
    }

    /// Returns whether this side is closed, as a hint: its other writes may not be visible.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.rare.closed.load(Ordering::Relaxed) != 0
    }

    /// Returns whether this side is closed; if so, all its earlier writes are visible.
    #[inline]
    pub(super) fn is_closed_acquire(&self) -> bool {
        self.rare.closed.load(order!("pair.closed", Acquire)) != 0
    }

    #[inline]
    pub(super) fn note_depth(&self, depth: usize) {
        if depth > self.high_water() {
            self.rare.high_water.store(depth, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn high_water(&self) -> usize {
        self.rare.high_water.load(Ordering::Relaxed)
    }
}

/// Returns after how many items the reader publishes its position, unless it finds the ring empty
/// first. Each check of the writer takes the cache line away from the reader, and a writer that
/// finds room for only one item must check for every item.
pub(super) const fn lag(capacity: usize) -> usize {
    let part = capacity / 8;
    if part < 1 {
        1
    } else if part > 64 {
        64
    } else {
        part
    }
}

/// A kind of slot, with its way to publish items. The provided methods are those of the layout with
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

    /// Publishes `count` items from a position on.
    #[doc(hidden)]
    #[inline]
    fn show(writer: &SideState, slots: &Slots<Self>, position: usize, count: usize) {
        let _ = slots;
        // Release, pairs with the Acquire of `check`: the items.
        writer.position.store(position.wrapping_add(count), order!("spsc.push", Release));
    }

    /// Returns how many items are published from a position on. The count may stop at `most`.
    #[doc(hidden)]
    #[inline]
    fn check(writer: &SideState, slots: &Slots<Self>, position: usize, most: usize) -> usize {
        let _ = (slots, most);
        // Acquire, pairs with the Release of `show`: the items.
        writer.position.load(order!("spsc.look", Acquire)).wrapping_sub(position)
    }

    /// Returns the number of all items from a position on. The content of the items may not be
    /// visible.
    #[doc(hidden)]
    fn count(writer: &SideState, slots: &Slots<Self>, position: usize) -> usize {
        writer.position.load(Ordering::Relaxed).wrapping_sub(position).min(slots.capacity())
    }

    /// Stores the position for the next writer, unless `show` does.
    #[doc(hidden)]
    fn save_position(writer: &SideState, position: usize) {
        let _ = (writer, position);
    }

    /// Prefetches the slots that the writer will soon fill. Returns the position at which to call
    /// this again, at most `limit`. Otherwise a line would be transferred from the reader's core
    /// only at the store, and later stores would wait. `is_ahead` says that the reader was far behind
    /// at the last check.
    #[doc(hidden)]
    #[inline]
    fn prefetch_put(slots: &Slots<Self>, position: usize, limit: usize, is_ahead: bool) -> usize {
        let _ = is_ahead;
        slots.prefetch_ahead::<true, 8>(position, limit)
    }

    /// Does the same as [`prefetch_put`](SlotLayout::prefetch_put), for the reader. `is_behind` says
    /// that items after the limit are probably published, too.
    #[doc(hidden)]
    #[inline]
    fn prefetch_take(slots: &Slots<Self>, position: usize, limit: usize, is_behind: bool) -> usize {
        let _ = is_behind;
        slots.prefetch_ahead::<false, 4>(position, limit)
    }

    /// Returns how many items a check must find so that a slipping reader does not skip the next
    /// checks. A check takes the cache line of the writer's position, so this does not depend on
    /// the size of the items.
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

/// The ring that a handle points to.
#[doc(hidden)]
pub trait Ring {
    /// The slot type.
    type Slot: SlotLayout;

    /// Returns the words that the writer writes.
    fn writer(&self) -> &SideState;

    /// Returns the words that the reader writes.
    fn reader(&self) -> &SideState;

    /// Returns the slots: a power of two of them, from 2 to
    /// [`CapacityError::MOST`](crate::ring::CapacityError::MOST).
    fn slots(&self) -> &[Self::Slot];
}

pub(super) type SlotOf<H> = <<H as Deref>::Target as Ring>::Slot;
pub(super) type ItemOf<H> = <SlotOf<H> as Cell>::Item;
