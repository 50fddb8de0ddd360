//! An allocator that sets the offset of memory in a cache line, so that counts do not depend on
//! other allocations.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::caches::LINE;

thread_local! {
    static OFFSET: Cell<usize> = const { Cell::new(0) };
}

/// While `run` runs, every allocation of this thread begins `offset` bytes after the start of a
/// cache line, or at the start of a line if the offset is not a multiple of the requested
/// alignment.
///
/// # Panics
/// If the offset is not below the size of a line.
pub fn at_offset<R>(offset: usize, run: impl FnOnce() -> R) -> R {
    assert!(offset < LINE, "an offset is less than a line");
    let before = OFFSET.replace(offset);
    let result = run();
    OFFSET.set(before);
    result
}

struct Placed;

#[global_allocator]
static PLACED: Placed = Placed;

/// Returns the layout of a block that begins with a line and has room for an offset.
fn block(layout: Layout) -> Option<Layout> {
    let size = layout.size().checked_add(LINE)?;
    Layout::from_size_align(size, layout.align().max(LINE)).ok()
}

// SAFETY: a block of the system's allocator has `layout.size()` bytes after an offset of less than
// a line, which is a multiple of the alignment or zero; the block begins with a line, so its start
// is known from any address in that line.
unsafe impl GlobalAlloc for Placed {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(block) = block(layout) else { return std::ptr::null_mut() };
        let offset = OFFSET.get();
        let offset = if offset.is_multiple_of(layout.align()) { offset } else { 0 };
        // SAFETY: at least a line long.
        let start = unsafe { System.alloc(block) };
        if start.is_null() { start } else { start.wrapping_add(offset) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if let Some(block) = block(layout) {
            let start = place.wrapping_sub(place.addr() % LINE);
            // SAFETY: `alloc` got this block from the system's allocator, with this layout.
            unsafe { System.dealloc(start, block) };
        }
    }
}
