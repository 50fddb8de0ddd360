//! The memory that a thread holds, counted around the system's allocator.
//!
//! The counters are thread-local: counting costs a few additions and no shared cache line.
#![expect(unsafe_code, reason = "`GlobalAlloc` is unsafe; this one delegates to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread allocated minus bytes that it freed. Negative if it frees memory of
    /// others.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// The maximum of `LIVE` since `peak` started.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Runs `work` and returns the peak of the bytes that it allocated and did not free.
pub(crate) fn peak<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before).unsigned_abs())
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocated(more: usize, less: usize) {
    LIVE.set(LIVE.get() + more as isize - less as isize);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

// SAFETY: every call is passed unchanged to the system's allocator; counting uses thread-local
// `Cell`s that need no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        allocated(size, layout.size());
        // SAFETY: the caller keeps the contract of `realloc`; `pointer` is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn the_most_that_was_held_is_counted() {
        let ((), most) = peak(|| {
            drop(black_box(vec![1u8; 1000]));
            drop(black_box(vec![0u8; 3000]));
        });
        assert_eq!(most, 3000);
    }
}
