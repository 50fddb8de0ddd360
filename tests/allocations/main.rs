//! What messages, actors and nodes allocate. The allocator of this program counts.
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", feature = "tls"))]
#[path = "../certificates/mod.rs"]
mod certificates;
mod keyed_actors;
#[cfg(all(target_os = "linux", feature = "metrics", feature = "signals", feature = "topology"))]
#[cfg(target_pointer_width = "64")]
#[allow(dead_code, unused_imports, unused_macros, reason = "the tests of links use all of it")]
mod links;
#[cfg(all(feature = "signals", feature = "topology"))]
#[path = "../loopback/mod.rs"]
mod loopback;
mod messages;
mod scale;
#[cfg(all(target_os = "linux", feature = "metrics", feature = "signals", feature = "topology"))]
#[allow(dead_code, reason = "the tests of links use all of it")]
#[path = "../it/support.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

/// How often this thread has allocated.
fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// The bytes that this thread has allocated and not freed.
fn bytes() -> isize {
    BYTES.get()
}

/// The system's allocator, with counts for each thread.
struct Counting;

// SAFETY: every call is passed unchanged to the system's allocator; counting touches `Cell`s of
// this thread, which need no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` came from `System.alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
