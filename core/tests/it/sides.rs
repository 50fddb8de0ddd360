//! The two sides of a ring, whose threads park while they wait for each other.
// Also for the `stress` example. Its counters are not checked themselves.
#![allow(clippy::disallowed_types)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use mycelium_core::doorbell::{Key, WaiterList, Waiters, announce};

/// The writers and the readers of a ring, which park while they wait for each other: a thread that
/// yields in a loop waits for the time slices of everything else on the machine.
pub(crate) struct Sides {
    waiting: [Waiting; 2],
    ring: fn(&Waiting),
    failed: AtomicBool,
}

type Waiting = WaiterList<5>;

impl Sides {
    /// Sides of a ring whose items go to one reader each.
    pub(crate) fn waking_one() -> Sides {
        Sides { waiting: Default::default(), ring: Waiting::ring, failed: AtomicBool::new(false) }
    }

    /// Sides of a ring whose items go to all readers, or where an end may pass what it woke for.
    pub(crate) fn waking_all() -> Sides {
        Sides { ring: Waiting::ring_all, ..Sides::waking_one() }
    }

    pub(crate) fn writer(&self) -> Side<'_> {
        self.side(0)
    }

    pub(crate) fn reader(&self) -> Side<'_> {
        self.side(1)
    }

    /// An end that the calling thread uses.
    fn side(&self, own: usize) -> Side<'_> {
        let key = self.waiting[own].register().expect("up to five threads at a side");
        Side { sides: self, own, key, waker: Arc::new(Unpark(thread::current())).into() }
    }
}

/// One thread at one side of a ring.
pub(crate) struct Side<'a> {
    sides: &'a Sides,
    own: usize,
    key: Key,
    waker: Waker,
}

impl Side<'_> {
    /// How many attempts may fail before the thread parks.
    pub(crate) const SPINS: usize = if cfg!(miri) { 0 } else { 64 };

    /// Tries until `attempt` returns something. The other side tries again after each attempt that
    /// succeeds, and before this thread parks: a failed one may have passed aborted slots.
    pub(crate) fn until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let waiting = &self.sides.waiting;
        let mut attempts = 0;
        loop {
            let done = attempt();
            if done.is_some() || attempts >= Side::SPINS {
                announce();
                (self.sides.ring)(&waiting[1 - self.own]);
            }
            match done {
                Some(done) => {
                    if attempts > Side::SPINS {
                        waiting[self.own].unpark(&self.key);
                    }
                    return done;
                }
                None if attempts < Side::SPINS => {}
                None => {
                    if attempts > Side::SPINS {
                        assert!(!self.sides.failed.load(Relaxed), "another thread has failed");
                        thread::park();
                    }
                    waiting[self.own].park(&self.key, &self.waker);
                }
            }
            attempts += 1;
        }
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        self.sides.waiting[self.own].unregister(&self.key);
        if thread::panicking() {
            self.sides.failed.store(true, Relaxed);
        }
        announce();
        self.sides.waiting.iter().for_each(Waiters::ring_all);
    }
}

/// Unparks a thread.
pub(crate) struct Unpark(pub(crate) Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
