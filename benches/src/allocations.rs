//! What a thread allocates: the system's allocator, with counts.
//!
//! They are the thread's own, so that counting costs an addition or two and no line that threads share.
#![expect(unsafe_code, reason = "an allocator is unsafe to write, and this one hands all on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Bytes that this thread allocated and did not free; below zero where it frees what others allocated.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// The most there were since somebody began to look.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// How often this thread has allocated.
pub(crate) fn count() -> u64 {
    COUNT.get()
}

/// The most bytes by which `work` raised what this thread holds, at any moment.
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
    COUNT.set(COUNT.get() + 1);
    LIVE.set(LIVE.get() + more as isize - less as isize);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

// SAFETY: every call is handed to the system's allocator as it came; counting touches `Cell`s of this thread that need
// no allocation and no destructor.
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
        // SAFETY: the caller keeps the contract of `realloc`; `pointer` came from the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn allocations_and_the_most_that_was_held_are_counted() {
        let before = count();
        let ((), most) = peak(|| {
            drop(black_box(vec![1u8; 1000]));
            drop(black_box(vec![0u8; 3000]));
        });
        assert_eq!((count() - before, most), (2, 3000));
    }
}
