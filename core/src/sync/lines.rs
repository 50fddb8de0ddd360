//! Reports of accesses to shared memory, for simulated caches.
//!
//! Under `cfg(lines)` the shim reports each access to the watcher of this thread, if one is set.
//! `line-tests/` sets simulated caches as the watcher, and counts the cache lines that move between
//! cores. Fences are not reported: they move no line.

extern crate std;

use core::cell::Cell;

/// The kind of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A read.
    Load,
    /// A write, or a read and a write in one step. A compare-and-swap is one even if it fails.
    Store,
    /// A prefetch for a read.
    LoadAhead,
    /// A prefetch for a write.
    StoreAhead,
}

/// One access to shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The kind of the access.
    pub kind: Kind,
    /// The address of its first byte.
    pub start: usize,
    /// The number of bytes that it touches.
    pub bytes: usize,
}

std::thread_local! {
    static WATCHER: Cell<Option<fn(Access)>> = const { Cell::new(None) };
}

/// Sets the function that is called before each access of this thread; `None` removes it.
pub fn watch(watcher: Option<fn(Access)>) {
    WATCHER.set(watcher);
}

/// Reports an access that is about to happen.
pub fn report(kind: Kind, start: usize, bytes: usize) {
    if let Some(watcher) = WATCHER.get() {
        watcher(Access { kind, start, bytes });
    }
}

/// Reports an access to all of `place` that is about to happen.
pub fn report_all<T: ?Sized>(kind: Kind, place: &T) {
    report(kind, core::ptr::from_ref(place).addr(), size_of_val(place));
}
