//! The cell of a doorbell for a task that parks while a ringer still wakes it by the
//! [kept waker](super::kept). The waker is taken out before it is used, so no foreign code runs
//! while a ringer has exclusive access to the cell.

#![allow(unsafe_code)]

use core::task::Waker;

use crate::sync::{AtomicUsize, Ordering, SharedCell, const_unless_loom, order};

/// No task sleeps here. An old waker may be in the cell.
const IDLE: usize = 0;
/// A waiter has exclusive access to the cell.
const KEEPING: usize = 1;
/// The waiter sleeps, and its waker is in the cell.
const PARKED: usize = 2;
/// A ringer takes the waker out of the cell, to which it has exclusive access.
const TAKING: usize = 3;

#[derive(Debug)]
pub(super) struct SpareWaker {
    state: AtomicUsize,
    waker: SharedCell<Option<Waker>>,
}

// SAFETY: `waker` is accessed only by the thread that moved `state` to KEEPING or to TAKING, until
// that thread leaves the state; no other thread leaves it. A `Waker` may be dropped and woken on
// any thread.
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

    /// Waiter: parks with `waker`. The caller raises the fence.
    #[cold]
    pub(super) fn park(&self, waker: &Waker) {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            match state {
                TAKING => {
                    // The ringer wakes for something earlier, so this waiter wakes itself to check
                    // again. This cannot recurse: a ringer runs no foreign code in TAKING.
                    waker.wake_by_ref();
                    return;
                }
                // A second waiter at this bell, which replaces this one.
                KEEPING => return,
                _ => {}
            }
            // Acquire, pairs with the Release of `spare.taken`, `spare.kept` and `spare.forgotten`:
            // the content of the cell.
            let acquire = order!("spare.keep", Acquire);
            match self.state.compare_exchange(state, KEEPING, acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        let mut exclusive = SetStateOnDrop { state: &self.state, then: IDLE };
        let fresh = waker.clone();
        // SAFETY: the exchange above gave this thread exclusive access until it leaves KEEPING.
        let replaced = unsafe { self.waker.with_mut(|kept| kept.replace(fresh)) };
        // A ringer that found KEEPING did not wake: the waiter checks after this.
        exclusive.then = PARKED;
        drop(exclusive);
        drop(replaced);
    }

    /// Waiter: it does not need to be woken.
    #[inline]
    pub(super) fn unpark(&self) {
        if self.is_parked() {
            let relaxed = Ordering::Relaxed;
            _ = self.state.compare_exchange(PARKED, IDLE, relaxed, relaxed);
        }
    }

    /// Ringer: wakes the task that sleeps here, unless another ringer does.
    #[cold]
    pub(super) fn wake(&self) {
        let acquire = order!("spare.take", Acquire);
        if self.state.compare_exchange(PARKED, TAKING, acquire, Ordering::Relaxed).is_ok() {
            // SAFETY: the exchange gave this thread exclusive access until it leaves TAKING.
            let waker = unsafe { self.waker.with_mut(Option::take) };
            // Release, pairs with the Acquire of `spare.keep`: this ringer no longer uses the cell.
            self.state.store(IDLE, order!("spare.taken", Release));
            // Only now: the waker may run the task in place, and the task may park again.
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
            // SAFETY: the exchange gave this thread exclusive access until it leaves KEEPING.
            let waker = unsafe { self.waker.with_mut(Option::take) };
            self.state.store(IDLE, order!("spare.forgotten", Release));
            drop(waker);
        }
    }
}

/// Leaves KEEPING, also if the clone of a waker panics.
struct SetStateOnDrop<'a> {
    state: &'a AtomicUsize,
    then: usize,
}

impl Drop for SetStateOnDrop<'_> {
    fn drop(&mut self) {
        // Release, pairs with the Acquire of `spare.take`: the complete waker.
        self.state.store(self.then, order!("spare.kept", Release));
    }
}
