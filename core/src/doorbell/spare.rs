//! The place of a bell for a task that parks while a ringer still wakes it by the [kept waker](super::kept). The waker is
//! taken out before it is used, so no foreign code runs while a ringer has the cell.

#![allow(unsafe_code)]

use core::task::Waker;

use crate::sync::{AtomicUsize, Ordering, SharedCell, const_unless_loom, order};

/// Nobody sleeps here. A waker of before may be in the cell.
const IDLE: usize = 0;
/// A waiter has the cell to itself.
const KEEPING: usize = 1;
/// The waiter sleeps, and its waker is in the cell.
const PARKED: usize = 2;
/// A ringer takes the waker out of the cell, which it has to itself.
const TAKING: usize = 3;

#[derive(Debug)]
pub(super) struct SpareWaker {
    state: AtomicUsize,
    waker: SharedCell<Option<Waker>>,
}

// SAFETY: `waker` is only touched by the thread that moved `state` to KEEPING or to TAKING, until it moves it on; nobody
// else leaves either. A `Waker` may be dropped and woken on any thread.
unsafe impl Sync for SpareWaker {}

impl SpareWaker {
    const_unless_loom! {
        pub(super) const fn new() -> SpareWaker {
            SpareWaker { state: AtomicUsize::new(IDLE), waker: SharedCell::new(None) }
        }
    }

    #[inline]
    pub(super) fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PARKED
    }

    /// Waiter: parks with `waker`; the fence is the caller's.
    #[cold]
    pub(super) fn park(&self, waker: &Waker) {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            match state {
                TAKING => {
                    // A ringer has the cell and wakes for what was before; this waiter looks again by itself. No recursion
                    // comes of it: a ringer runs no foreign code in TAKING.
                    waker.wake_by_ref();
                    return;
                }
                // A second waiter at this bell, which may replace this one.
                KEEPING => return,
                _ => {}
            }
            // Acquire, with the Release of `spare.taken`, `spare.kept` or `spare.forgotten`: the cell as it was left.
            let acquire = order!("spare.keep", Acquire);
            match self.state.compare_exchange(state, KEEPING, acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        let mut exclusive = SetStateOnDrop { state: &self.state, then: IDLE };
        let fresh = waker.clone();
        // SAFETY: the exchange above gave this thread the cell until it leaves KEEPING.
        let replaced = unsafe { self.waker.with_mut(|kept| kept.replace(fresh)) };
        // A ringer that came meanwhile went away again: the waiter looks after this.
        exclusive.then = PARKED;
        drop(exclusive);
        drop(replaced);
    }

    /// Waiter: nobody needs to wake it.
    #[inline]
    pub(super) fn unpark(&self) {
        if self.is_parked() {
            let relaxed = Ordering::Relaxed;
            _ = self.state.compare_exchange(PARKED, IDLE, relaxed, relaxed);
        }
    }

    /// Ringer: wakes the task that sleeps here, if none of the other ringers does.
    #[cold]
    pub(super) fn wake(&self) {
        let acquire = order!("spare.take", Acquire);
        if self.state.compare_exchange(PARKED, TAKING, acquire, Ordering::Relaxed).is_ok() {
            // SAFETY: the exchange gave this thread the cell until it leaves TAKING.
            let waker = unsafe { self.waker.with_mut(Option::take) };
            // Release, with the Acquire of `spare.keep`: nobody is at the cell any more.
            self.state.store(IDLE, order!("spare.taken", Release));
            // Not before: a waker may run the task here and now, and the task may park again.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waiter: drops the waker.
    pub(super) fn forget(&self) {
        self.unpark();
        let relaxed = Ordering::Relaxed;
        let acquire = order!("spare.forget", Acquire);
        if self.state.compare_exchange(IDLE, KEEPING, acquire, relaxed).is_ok() {
            // SAFETY: the exchange gave this thread the cell until it leaves KEEPING.
            let waker = unsafe { self.waker.with_mut(Option::take) };
            self.state.store(IDLE, order!("spare.forgotten", Release));
            drop(waker);
        }
    }
}

/// Leaves KEEPING, whether or not the clone of a waker panics.
struct SetStateOnDrop<'a> {
    state: &'a AtomicUsize,
    then: usize,
}

impl Drop for SetStateOnDrop<'_> {
    fn drop(&mut self) {
        // Release, with the Acquire of `spare.take`: the waker, whole.
        self.state.store(self.then, order!("spare.kept", Release));
    }
}
