//! Slots on the heap, aligned to cache lines, so that a slot of 64 bytes is one line and not parts
//! of two. Those of small rings are aligned as their type is: an alignment takes memory and time
//! of the allocator.

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
    /// If the capacity is invalid, or there is not enough memory.
    pub(in crate::ring) fn new(
        capacity: usize,
        mut fresh: impl FnMut() -> S,
    ) -> Result<Heap<S, ALIGN>, CapacityError> {
        CapacityError::check(capacity)?;
        let refused = CapacityError::Memory { given: capacity };
        let layout = Self::layout(capacity).ok_or(refused)?;
        // SAFETY: the size of `layout` is never 0: for slots of size 0 it is `ALIGN`.
        let start = NonNull::new(unsafe { alloc(layout) }.cast::<S>()).ok_or(refused)?;
        // Slots of size 0 need not be filled.
        let filled = if size_of::<S>() == 0 { 0 } else { capacity };
        for index in 0..filled {
            // Should this panic, the allocation is leaked.
            let slot = fresh();
            // SAFETY: the allocation has room for `capacity` slots.
            let place = unsafe { start.add(index) };
            // SAFETY: as above, and the memory is not shared yet.
            unsafe { place.write(slot) };
        }
        Ok(Heap { start, count: capacity })
    }

    /// `None` if the slots take more than memory can hold.
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
        // SAFETY: `new` filled `count` slots, which live until `drop`.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<S, const ALIGN: usize> Drop for Heap<S, ALIGN> {
    fn drop(&mut self) {
        let slots = NonNull::slice_from_raw_parts(self.start, self.count);
        // SAFETY: this value owns the slots, and nothing accesses them any more.
        unsafe { slots.drop_in_place() };
        if let Some(layout) = Self::layout(self.count) {
            // SAFETY: allocated by `new` with the same layout.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}
