//! The two cells of a doorbell. The *kept* cell keeps its waker: a ringer wakes by reference, so
//! that a task that parks again with the same waker clones and drops nothing.
//!
//! | from | to | by | |
//! | --- | --- | --- | --- |
//! | IDLE | PARKED | waiter | the waker in the cell is its own |
//! | IDLE, PARKED | KEEPING, then PARKED | waiter | replaces the waker in the cell |
//! | PARKED | IDLE | waiter | its second check found something |
//! | PARKED | WAKING, then IDLE | ringer | wakes by reference |
//! | IDLE | KEEPING, then IDLE | waiter | forgets, and drops the waker |
//! | WAKING | LEFT, then IDLE | waiter, ringer | the waiter forgets, the ringer drops the waker |
//!
//! In WAKING the ringer runs foreign code: the waker may poll the task in place, or another thread
//! may, and the task may park again. The kept cell then refuses the task, which parks in the
//! *spare* cell, below.

#![allow(unsafe_code)]

use core::ptr;
use core::task::Waker;

use crate::sync::{AtomicUsize, Ordering, SharedCell, const_unless_loom, order};

/// No task sleeps here. The waker of the last wait may be in the cell.
const IDLE: usize = 0;
/// One thread has exclusive access to the cell.
const KEEPING: usize = 1;
/// The waiter sleeps, and its waker is in the cell.
const PARKED: usize = 2;
/// A ringer wakes by the waker in the cell; no thread changes the cell meanwhile.
const WAKING: usize = 3;
/// Like WAKING, but the waiter has forgotten the waker: the ringer drops it afterwards.
const LEFT: usize = 4;

/// The kept cell of a doorbell. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct KeptWaker {
    state: AtomicUsize,
    /// The waker's data pointer and vtable pointer, or 0 and 0, for threads without access to the
    /// cell. Changed only with exclusive access to the cell.
    data: AtomicUsize,
    table: AtomicUsize,
    waker: SharedCell<Option<Waker>>,
}

// SAFETY: `waker` is changed only by the thread that moved `state` to KEEPING, or by the ringer in
// WAKING or LEFT after it has woken, and read only by that ringer. No other thread leaves these
// states or enters them meanwhile. A `Waker` may be dropped, and woken by reference, on any thread.
unsafe impl Sync for KeptWaker {}

impl KeptWaker {
    const_unless_loom! {
        pub(super) const fn new() -> KeptWaker {
            KeptWaker {
                state: AtomicUsize::new(IDLE),
                data: AtomicUsize::new(0),
                table: AtomicUsize::new(0),
                waker: SharedCell::new(None),
            }
        }
    }

    #[inline]
    pub(super) fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PARKED
    }

    /// Waiter: parks with `waker` and raises the fence if the cell already contains this waker.
    /// Returns whether it did.
    #[inline]
    pub(super) fn park_again(&self, waker: &Waker, fence: impl FnOnce()) -> bool {
        // Acquire, pairs with the Release of `kept.kept`, `kept.dropped` and `kept.forgotten`:
        // which waker is in the cell.
        let state = self.state.load(order!("kept.look", Acquire));
        // The exchange is needed even from PARKED, because the load may have returned an old state.
        //
        // Relaxed: between `kept.kept` and `kept.take` the state changes by read-modify-writes
        // only, so `kept.take` still pairs with `kept.kept`.
        matches!(state, IDLE | PARKED)
            && self.holds(waker)
            && self.state.exchange_and_fence(state, PARKED, fence)
    }

    /// Waiter: leaves PARKED, because no wake is needed.
    #[inline]
    pub(super) fn unpark(&self) {
        if self.is_parked() {
            // If the exchange fails, a ringer was faster, and its wake is spurious.
            let relaxed = Ordering::Relaxed;
            _ = self.state.compare_exchange(PARKED, IDLE, relaxed, relaxed);
        }
    }

    /// Ringer: wakes the parked task, and returns whether it did. If another ringer was faster,
    /// this one may skip the task: the task checks again after the other ringer's wake, and if it
    /// parks again, its fence comes after this ringer's.
    #[inline]
    pub(super) fn wake(&self) -> bool {
        // Acquire, pairs with the Release of `kept.kept`: this ringer sees the complete waker.
        // Release, pairs with the fence of a waiter that parks again and sees WAKING or a later
        // state: that waiter then sees the items that were published before this wake. It needs
        // this Release, because `announce_and_ring` has raised no fence before.
        let both = order!("kept.take", AcqRel);
        if self.state.compare_exchange(PARKED, WAKING, both, Ordering::Relaxed).is_err() {
            return false;
        }
        let waking = Waking(self);
        let wake = |kept: *const Option<Waker>| {
            // SAFETY: the exchange moved the state to WAKING, in which the cell is not changed;
            // the guard `waking` ends this state, and is dropped after the last use of the
            // reference.
            if let Some(waker) = unsafe { &*kept } {
                waker.wake_by_ref();
            }
        };
        // SAFETY: as above.
        unsafe { self.waker.with(wake) };
        drop(waking);
        true
    }

    /// Waiter: drops the waker. If a ringer is waking by it now, that ringer drops it.
    pub(super) fn forget(&self) {
        let relaxed = Ordering::Relaxed;
        loop {
            match self.state.load(relaxed) {
                state @ (IDLE | PARKED) => {
                    let acquire = order!("kept.forget", Acquire);
                    if self.state.compare_exchange(state, KEEPING, acquire, relaxed).is_ok() {
                        // SAFETY: the exchange gave this thread exclusive access until it leaves
                        // KEEPING.
                        let waker = unsafe { self.empty() };
                        self.state.store(IDLE, order!("kept.forgotten", Release));
                        drop(waker);
                        return;
                    }
                }
                WAKING => {
                    if self.state.compare_exchange(WAKING, LEFT, relaxed, relaxed).is_ok() {
                        return;
                    }
                }
                // Another waiter uses the cell (KEEPING), or the waker is already forgotten (LEFT).
                _ => return,
            }
        }
    }

    /// Returns whether `waker` is the one in the cell.
    #[inline]
    fn holds(&self, waker: &Waker) -> bool {
        let (data, table) = identity(waker);
        self.data.load(Ordering::Relaxed) == data && self.table.load(Ordering::Relaxed) == table
    }

    /// Waiter: puts another waker into the cell and parks with it. Returns `false` while another
    /// thread uses the cell. The caller raises the fence.
    #[cold]
    pub(super) fn park(&self, waker: &Waker) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if !matches!(state, IDLE | PARKED) {
                return false;
            }
            // Acquire, pairs with the Release of `kept.woken`, `kept.forgotten` and `kept.dropped`:
            // the previous thread no longer uses the cell.
            let acquire = order!("kept.keep", Acquire);
            match self.state.compare_exchange(state, KEEPING, acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // Release, pairs with the Acquire of `kept.take`: the complete waker.
        let release = order!("kept.kept", Release);
        let mut exclusive = SetStateOnDrop { state: &self.state, then: IDLE, release };
        let fresh = waker.clone();
        let (data, table) = identity(&fresh);
        self.data.store(data, Ordering::Relaxed);
        self.table.store(table, Ordering::Relaxed);
        // SAFETY: the exchange above gave this thread exclusive access until it leaves KEEPING.
        let replaced = unsafe { self.waker.with_mut(|kept| kept.replace(fresh)) };
        // A ringer that found KEEPING did not wake: the waiter checks after this.
        exclusive.then = PARKED;
        drop(exclusive);
        drop(replaced);
        true
    }

    /// Removes the waker from the cell.
    ///
    /// # Safety
    /// The calling thread has exclusive access to the cell.
    unsafe fn empty(&self) -> Option<Waker> {
        self.data.store(0, Ordering::Relaxed);
        self.table.store(0, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { self.waker.with_mut(Option::take) }
    }
}

/// Returns the pointers that [`Waker::will_wake`] compares. While the cell contains a clone, no
/// other waker can have the same data pointer.
#[inline]
fn identity(waker: &Waker) -> (usize, usize) {
    (waker.data().addr(), ptr::from_ref(waker.vtable()).addr())
}

/// When dropped, sets the state, so that it does not stay KEEPING if the clone of a waker panics.
struct SetStateOnDrop<'a> {
    state: &'a AtomicUsize,
    then: usize,
    release: Ordering,
}

impl Drop for SetStateOnDrop<'_> {
    fn drop(&mut self) {
        self.state.store(self.then, self.release);
    }
}

/// When dropped, ends the state WAKING, even if the waker panics.
struct Waking<'a>(&'a KeptWaker);

impl Drop for Waking<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release, pairs with the Acquire of `kept.keep` and `kept.forget`: the waker was used for
        // the last time.
        let release = order!("kept.woken", Release);
        let state = &self.0.state;
        if state.compare_exchange(WAKING, IDLE, release, Ordering::Relaxed).is_err() {
            // The state is LEFT, which only this ringer leaves.
            // SAFETY: in WAKING and LEFT only the ringer that entered WAKING accesses the cell, and
            // it has finished waking.
            let waker = unsafe { self.0.empty() };
            // Release, pairs with the Acquire of `kept.keep`: the cell is empty.
            state.store(IDLE, order!("kept.dropped", Release));
            drop(waker);
        }
    }
}

/// A ringer has exclusive access to the spare cell and takes the waker out of it.
const TAKING: usize = 3;

/// The cell of a doorbell for a task that parks while a ringer still wakes it by the kept waker.
/// The waker is taken out before it is used, so no foreign code runs while a ringer has exclusive
/// access to the cell.
#[derive(Debug, Default)]
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
                    // The ringer wakes for an earlier publication, so this waiter wakes itself to
                    // check again. This cannot recurse: a ringer runs no foreign code in TAKING.
                    waker.wake_by_ref();
                    return;
                }
                // A second waiter at this bell is replacing this one, so this one need not park.
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
        // Release, pairs with the Acquire of `spare.take`: the complete waker.
        let release = order!("spare.kept", Release);
        let mut exclusive = SetStateOnDrop { state: &self.state, then: IDLE, release };
        let fresh = waker.clone();
        // SAFETY: the exchange above gave this thread exclusive access until it leaves KEEPING.
        let replaced = unsafe { self.waker.with_mut(|kept| kept.replace(fresh)) };
        // A ringer that found KEEPING did not wake: the waiter checks after this.
        exclusive.then = PARKED;
        drop(exclusive);
        drop(replaced);
    }

    /// Waiter: leaves PARKED, because no wake is needed.
    #[inline]
    pub(super) fn unpark(&self) {
        if self.is_parked() {
            let relaxed = Ordering::Relaxed;
            _ = self.state.compare_exchange(PARKED, IDLE, relaxed, relaxed);
        }
    }

    /// Ringer: wakes the parked task, unless another ringer does.
    #[cold]
    pub(super) fn wake(&self) {
        let acquire = order!("spare.take", Acquire);
        if self.state.compare_exchange(PARKED, TAKING, acquire, Ordering::Relaxed).is_ok() {
            // SAFETY: the exchange gave this thread exclusive access until it leaves TAKING.
            let waker = unsafe { self.waker.with_mut(Option::take) };
            // Release, pairs with the Acquire of `spare.keep`: this ringer no longer uses the cell.
            self.state.store(IDLE, order!("spare.taken", Release));
            // Wakes after leaving the cell, because the waker may run the task in place, and the
            // task may park again.
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
