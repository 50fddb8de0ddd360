//! A waker in a `static` that counts its wakes. `std::task::Wake` would need a heap.

#![allow(unsafe_code)]
// The counters of a test are not shared memory of the core.
#![allow(clippy::disallowed_types)]

use core::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{RawWaker, RawWakerVTable, Waker},
};

pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) const fn new() -> Count {
        Count(AtomicUsize::new(0))
    }

    /// How often its wakers were woken.
    pub(crate) fn times(&self) -> usize {
        self.0.load(SeqCst)
    }

    pub(crate) fn waker(&'static self) -> Waker {
        // SAFETY: `VTABLE` keeps the contract of a waker: its data is a `&'static Count`, which any
        // thread may use at any time, and which needs no drop.
        unsafe { Waker::from_raw(raw(core::ptr::from_ref(self).cast())) }
    }
}

const VTABLE: RawWakerVTable = RawWakerVTable::new(raw, wake, wake, |_| {});

fn raw(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

fn wake(data: *const ()) {
    // SAFETY: it is called for wakers of this vtable only, all of which `Count::waker` made of a
    // `&'static Count`.
    let count: &'static Count = unsafe { &*data.cast() };
    count.0.fetch_add(1, SeqCst);
}
