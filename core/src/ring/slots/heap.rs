//! Slots on the heap, aligned to cache lines, so that a slot of 64 bytes is one line and not parts
//! of two.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

use super::Storage;
use crate::ring::CapacityError;

/// Two lines: processors fetch them in pairs.
const LINE: usize = 128;

/// Slots on the heap.
#[derive(Debug)]
pub struct Heap<S> {
    start: NonNull<S>,
    count: usize,
}

// SAFETY: owns its slots, as a box does.
unsafe impl<S: Send> Send for Heap<S> {}
// SAFETY: as above.
unsafe impl<S: Sync> Sync for Heap<S> {}

impl<S> Heap<S> {
    /// # Errors
    /// If the capacity is invalid, or there is not enough memory.
    pub(in crate::ring) fn new(
        capacity: usize,
        mut fresh: impl FnMut() -> S,
    ) -> Result<Heap<S>, CapacityError> {
        CapacityError::check(capacity)?;
        let refused = CapacityError::Memory { given: capacity };
        let layout = layout::<S>(capacity).ok_or(refused)?;
        // SAFETY: the size of `layout` is never 0: for slots of size 0 it is one line.
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
}

/// `None` if the slots take more than memory can hold.
fn layout<S>(capacity: usize) -> Option<Layout> {
    let slots = Layout::array::<S>(capacity).ok()?;
    let layout = Layout::from_size_align(slots.size().max(1), slots.align().max(LINE)).ok()?;
    Some(layout.pad_to_align())
}

// SAFETY: this value owns the slots, and they stay where they are when it moves.
unsafe impl<S> Storage for Heap<S> {
    type Slot = S;

    fn slots(&self) -> &[S] {
        // SAFETY: `new` filled `count` slots, which live until `drop`.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl<S> Drop for Heap<S> {
    fn drop(&mut self) {
        let slots = NonNull::slice_from_raw_parts(self.start, self.count);
        // SAFETY: this value owns the slots, and nothing accesses them any more.
        unsafe { slots.drop_in_place() };
        if let Some(layout) = layout::<S>(self.count) {
            // SAFETY: allocated by `new` with the same layout.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}
