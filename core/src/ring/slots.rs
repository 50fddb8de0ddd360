//! The memory of a ring's slots, and each end's pointer to them.
//!
//! Slots come from an array (for a `static` or a field), a borrowed slice, or the heap (feature
//! `alloc`). Only the ring accesses them: a slice is borrowed mutably.

#![allow(unsafe_code)]

use core::ptr::NonNull;

use crate::sync::prefetch;

/// Storage of slots.
///
/// # Safety
/// `slots` returns the same slots at every call, even after the storage was moved, unless it
/// contains the slots; and only the ring that owns the storage accesses them.
pub unsafe trait Storage {
    /// The slot type of the ring.
    type Slot;
    /// Returns all slots.
    fn slots(&self) -> &[Self::Slot];
}

// SAFETY: the array is a part of the ring; handles keep the ring at its address while an end lives.
unsafe impl<S, const N: usize> Storage for [S; N] {
    type Slot = S;

    fn slots(&self) -> &[S] {
        self
    }
}

// SAFETY: the exclusive borrow is the ring's.
unsafe impl<S> Storage for &mut [S] {
    type Slot = S;

    fn slots(&self) -> &[S] {
        self
    }
}

/// An end's pointer to the slots of its ring, so that an access follows one pointer.
pub struct Slots<S> {
    start: NonNull<S>,
    mask: usize,
}

// SAFETY: used as `&[S]` is.
unsafe impl<S: Sync> Send for Slots<S> {}
// SAFETY: as above.
unsafe impl<S: Sync> Sync for Slots<S> {}

// Written by hand, because slots need not be `Debug`.
impl<S> core::fmt::Debug for Slots<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} slots", self.capacity())
    }
}

// Written by hand, because slots need not be `Clone`.
impl<S> Clone for Slots<S> {
    fn clone(&self) -> Slots<S> {
        Slots { start: self.start, mask: self.mask }
    }
}

/// The number of bytes in a cache line, on most processors.
const LINE: usize = 64;

impl<S> Slots<S> {
    /// The number of slots in a cache line; a power of two.
    const PER_LINE: usize = match size_of::<S>() {
        size @ 1..LINE => 1 << (LINE / size).ilog2(),
        _ => 1,
    };

    /// Returns how many slots these lines have, at least one.
    pub(super) const fn after(lines: usize) -> usize {
        match size_of::<S>() {
            0..LINE => lines * Self::PER_LINE,
            size if size > lines * LINE => 1,
            size => lines * LINE / size,
        }
    }

    /// # Panics
    /// If their number is not a power of two: an index is masked to stay inside.
    pub(super) fn new(slots: &[S]) -> Slots<S> {
        assert!(
            slots.len().is_power_of_two(),
            "the number of slots is not a power of two: the ring was made without its checks"
        );
        Slots { start: NonNull::from(slots).cast(), mask: slots.len() - 1 }
    }

    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.mask + 1
    }

    /// Returns the slot of a position.
    ///
    /// # Safety
    /// The slots that this was made from are alive.
    #[inline]
    pub(super) unsafe fn at(&self, position: usize) -> &S {
        // SAFETY: masked to be below the number of slots.
        let slot = unsafe { self.start.add(position & self.mask) };
        // SAFETY: it is alive (this function's contract).
        unsafe { slot.as_ref() }
    }

    /// Prefetches the cache line `LINES` lines after `position`, for an end that may go to `limit`,
    /// unless the other side may be using that line and would have to fetch it back. Returns the
    /// position at which to call this again: after the slots of one cache line.
    #[inline]
    pub(super) fn prefetch_ahead<const WRITE: bool, const LINES: usize>(
        &self,
        position: usize,
        limit: usize,
    ) -> usize {
        let room = limit.wrapping_sub(position);
        if room > Self::after(LINES) + Self::PER_LINE {
            self.prefetch::<WRITE, LINES>(position);
        }
        position.wrapping_add(room.min(self.left_in_line(position)))
    }

    /// Prefetches the line of the slot that comes `LINES` lines after `position`, or the next slot if
    /// slots are longer.
    #[inline]
    pub(super) fn prefetch<const WRITE: bool, const LINES: usize>(&self, position: usize) {
        let index = position.wrapping_add(Self::after(LINES)) & self.mask;
        prefetch::<WRITE>(self.start.as_ptr().wrapping_add(index).cast());
    }

    /// Returns the number of slots from a position to the end of its cache line, assuming that
    /// slots do not straddle lines.
    #[inline]
    pub(super) fn left_in_line(&self, position: usize) -> usize {
        Self::PER_LINE - (position & (Self::PER_LINE - 1))
    }

    /// Returns `count` slots from a position on, in up to two pieces.
    ///
    /// # Safety
    /// The slots that this was made from are alive.
    #[inline]
    pub(super) unsafe fn range(&self, position: usize, count: usize) -> (&[S], &[S]) {
        debug_assert!(count <= self.capacity());
        let start = position & self.mask;
        let first = count.min(self.capacity() - start);
        // SAFETY: masked to be below the number of slots.
        let from = unsafe { self.start.add(start) };
        // SAFETY: `start + first` is at most the number of slots, which are alive (this function's
        // contract).
        let before = unsafe { core::slice::from_raw_parts(from.as_ptr(), first) };
        // SAFETY: `count - first` is at most `start`, as `count` is at most their number; alive as
        // above.
        let after = unsafe { core::slice::from_raw_parts(self.start.as_ptr(), count - first) };
        (before, after)
    }
}

#[cfg(feature = "alloc")]
pub use heap::Heap;

/// Slots on the heap, aligned to cache lines, so that a slot of 64 bytes is one line, not parts of
/// two. The slots of small rings have only the alignment of their type, because a larger one costs
/// memory and time in the allocator.
#[cfg(feature = "alloc")]
mod heap {
    #[cfg(all(target_has_atomic = "ptr", not(loom)))]
    use alloc::alloc::alloc_zeroed;
    use alloc::alloc::{alloc, dealloc};
    use core::alloc::Layout;
    use core::ptr::NonNull;

    use super::Storage;
    use crate::ring::CapacityError;

    /// Two lines: processors fetch them in pairs.
    const LINE: usize = 128;

    /// Slots on the heap, aligned to `ALIGN` bytes or more.
    #[derive(Debug)]
    pub struct Heap<S, const ALIGN: usize = LINE> {
        start: NonNull<S>,
        count: usize,
    }

    // SAFETY: owns its slots, as a box does.
    unsafe impl<S: Send, const ALIGN: usize> Send for Heap<S, ALIGN> {}
    // SAFETY: as above.
    unsafe impl<S: Sync, const ALIGN: usize> Sync for Heap<S, ALIGN> {}

    impl<S, const ALIGN: usize> Heap<S, ALIGN> {
        /// # Errors
        /// If there is not enough memory.
        pub(in crate::ring) fn new(
            capacity: usize,
            mut fresh: impl FnMut() -> S,
        ) -> Result<Heap<S, ALIGN>, CapacityError> {
            let refused = CapacityError::Memory { given: capacity };
            let layout = Self::layout(capacity).ok_or(refused)?;
            // SAFETY: the size of `layout` is never 0: for slots of size 0 it is `ALIGN`.
            let start = NonNull::new(unsafe { alloc(layout) }.cast::<S>()).ok_or(refused)?;
            // Slots of size 0 need not be filled.
            let filled = if size_of::<S>() == 0 { 0 } else { capacity };
            for index in 0..filled {
                // If this panics, the allocation is leaked.
                let slot = fresh();
                // SAFETY: the allocation has room for `capacity` slots.
                let place = unsafe { start.add(index) };
                // SAFETY: as above, and the memory is not shared yet.
                unsafe { place.write(slot) };
            }
            Ok(Heap { start, count: capacity })
        }

        /// Creates slots of zeros. The system provides the pages of large ones at their first use,
        /// if `ALIGN` is that of ordinary allocations.
        ///
        /// # Errors
        /// If there is not enough memory.
        ///
        /// # Safety
        /// Zeros are a valid slot.
        #[cfg(all(target_has_atomic = "ptr", not(loom)))]
        pub(in crate::ring) unsafe fn zeroed(
            capacity: usize,
        ) -> Result<Heap<S, ALIGN>, CapacityError> {
            let refused = CapacityError::Memory { given: capacity };
            let layout = Self::layout(capacity).ok_or(refused)?;
            // SAFETY: as in `new`; zeros are valid slots, by this function's contract.
            let start = NonNull::new(unsafe { alloc_zeroed(layout) }.cast::<S>()).ok_or(refused)?;
            Ok(Heap { start, count: capacity })
        }

        /// Returns `None` if the slots take more than memory can hold.
        fn layout(capacity: usize) -> Option<Layout> {
            let slots = Layout::array::<S>(capacity).ok()?;
            let align = slots.align().max(ALIGN);
            let layout = Layout::from_size_align(slots.size().max(1), align).ok()?;
            Some(layout.pad_to_align())
        }
    }

    // SAFETY: this value owns the slots, and they stay where they are when it moves.
    unsafe impl<S, const ALIGN: usize> Storage for Heap<S, ALIGN> {
        type Slot = S;

        fn slots(&self) -> &[S] {
            // SAFETY: `new` or `zeroed` filled `count` slots, which live until `drop`.
            unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
        }
    }

    impl<S, const ALIGN: usize> Drop for Heap<S, ALIGN> {
        fn drop(&mut self) {
            let slots = NonNull::slice_from_raw_parts(self.start, self.count);
            // SAFETY: this value owns the slots, and nothing accesses them any more.
            unsafe { slots.drop_in_place() };
            if let Some(layout) = Self::layout(self.count) {
                // SAFETY: allocated with the same layout.
                unsafe { dealloc(self.start.as_ptr().cast(), layout) };
            }
        }
    }
}
