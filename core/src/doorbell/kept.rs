//! The place of a bell that keeps its waker: a ringer wakes by reference, so that a task that parks again with the same
//! waker clones and drops nothing.
//!
//! | from | to | by | |
//! | --- | --- | --- | --- |
//! | IDLE | PARKED | waiter | the waker in the cell is its own |
//! | IDLE, PARKED | KEEPING, then PARKED | waiter | replaces the waker in the cell |
//! | PARKED | IDLE | waiter | its second look found something |
//! | PARKED | WAKING, then IDLE | ringer | wakes by reference |
//! | IDLE | KEEPING, then IDLE | waiter | leaves, and drops the waker |
//! | WAKING | LEFT, then IDLE | waiter, then ringer | the waiter leaves, the ringer drops the waker |
//!
//! While a ringer is in WAKING it runs foreign code: the waker may poll the task in place, or another thread may, and the
//! task may park again. It is refused here then, and parks at the [spare place](super::spare).

#![allow(unsafe_code)]

use core::ptr;
use core::task::Waker;

use crate::sync::{AtomicUsize, Ordering, SharedCell, const_unless_loom, order};

/// Nobody sleeps here. The waker of the last wait may be in the cell.
const IDLE: usize = 0;
/// A waiter has the cell to itself.
const KEEPING: usize = 1;
/// The waiter sleeps, and its waker is in the cell.
const PARKED: usize = 2;
/// A ringer wakes by the waker in the cell, which nobody changes meanwhile.
const WAKING: usize = 3;
/// As WAKING, and the waiter has left: the ringer drops the waker afterwards.
const LEFT: usize = 4;

#[derive(Debug)]
pub(super) struct KeptWaker {
    state: AtomicUsize,
    /// Which waker is in the cell, readable without having the cell: its data and its table, or 0 and 0. Changed by
    /// whoever has the cell to itself.
    data: AtomicUsize,
    table: AtomicUsize,
    waker: SharedCell<Option<Waker>>,
}

// SAFETY: `waker` is changed only by the thread that moved `state` to KEEPING, or by the ringer in WAKING or LEFT after
// it has woken, and read only by that ringer; nobody else leaves these states or enters them from another thread. A
// `Waker` may be dropped, and woken by reference, on any thread.
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

    /// Waiter: parks with the waker that the cell holds, if that is `waker`, raises the fence, and says whether it did.
    #[inline]
    pub(super) fn park_again(&self, waker: &Waker, fence: impl FnOnce()) -> bool {
        // Acquire, with the Release of `kept.kept`, `kept.dropped` and `kept.forgotten`: which waker is in the cell.
        let state = self.state.load(order!("kept.look", Acquire));
        // An exchange for PARKED as well: a load might return a state that a ringer has left since.
        //
        // Relaxed: between `kept.kept` and `kept.take` the state changes by read-modify-writes only, so these two pair.
        matches!(state, IDLE | PARKED)
            && self.holds(waker)
            && self.state.exchange_and_fence(state, PARKED, fence)
    }

    /// Waiter: nobody needs to wake it.
    #[inline]
    pub(super) fn unpark(&self) {
        if self.is_parked() {
            // If a ringer was faster, the wake is spurious.
            let relaxed = Ordering::Relaxed;
            _ = self.state.compare_exchange(PARKED, IDLE, relaxed, relaxed);
        }
    }

    /// Ringer: wakes the task that sleeps here, and says whether it did. If another ringer was faster, this one may skip the
    /// task: it looks again after the other ringer's wake, and if it parks again, its fence comes after this ringer's.
    #[inline]
    pub(super) fn wake(&self) -> bool {
        // Acquire, with the Release of `kept.kept`: the waker, whole. Release, with the fence of a waiter that parks again and
        // finds that this ringer was here: what was published before, as `announce_and_ring` has raised no fence.
        let both = order!("kept.take", AcqRel);
        if self.state.compare_exchange(PARKED, WAKING, both, Ordering::Relaxed).is_err() {
            return false;
        }
        let waking = Waking(self);
        let wake = |kept: *const Option<Waker>| {
            // SAFETY: the exchange moved the state to WAKING, in which the cell is not changed; `waking` ends it, after the
            // reference was used.
            if let Some(waker) = unsafe { &*kept } {
                waker.wake_by_ref();
            }
        };
        // SAFETY: as above.
        unsafe { self.waker.with(wake) };
        drop(waking);
        true
    }

    /// Waiter: drops the waker, or has the ringer drop it that is waking by it now.
    pub(super) fn forget(&self) {
        let relaxed = Ordering::Relaxed;
        loop {
            match self.state.load(relaxed) {
                state @ (IDLE | PARKED) => {
                    let acquire = order!("kept.forget", Acquire);
                    if self.state.compare_exchange(state, KEEPING, acquire, relaxed).is_ok() {
                        // SAFETY: the exchange gave this thread the cell until it leaves KEEPING.
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
                // Another waiter is here, or was and has left as well.
                _ => return,
            }
        }
    }

    /// Whether `waker` is the one in the cell.
    #[inline]
    fn holds(&self, waker: &Waker) -> bool {
        let (data, table) = identity(waker);
        self.data.load(Ordering::Relaxed) == data && self.table.load(Ordering::Relaxed) == table
    }

    /// Waiter: puts another waker into the cell and parks with it, and says whether it did: not while somebody is at the
    /// cell. The fence is the caller's.
    #[cold]
    pub(super) fn park(&self, waker: &Waker) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if !matches!(state, IDLE | PARKED) {
                return false;
            }
            // Acquire, with the Release of `kept.woken`, `kept.forgotten` and `kept.dropped`: who had the cell before has
            // done with it.
            let acquire = order!("kept.keep", Acquire);
            match self.state.compare_exchange(state, KEEPING, acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        let mut exclusive = SetStateOnDrop { kept: self, then: IDLE };
        let fresh = waker.clone();
        let (data, table) = identity(&fresh);
        self.data.store(data, Ordering::Relaxed);
        self.table.store(table, Ordering::Relaxed);
        // SAFETY: the exchange above gave this thread the cell until it leaves KEEPING.
        let replaced = unsafe { self.waker.with_mut(|kept| kept.replace(fresh)) };
        // A ringer that came meanwhile went away again: the waiter looks after this.
        exclusive.then = PARKED;
        drop(exclusive);
        drop(replaced);
        true
    }

    /// Takes the waker out.
    ///
    /// # Safety
    /// The calling thread has the cell to itself.
    unsafe fn empty(&self) -> Option<Waker> {
        self.data.store(0, Ordering::Relaxed);
        self.table.store(0, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { self.waker.with_mut(Option::take) }
    }
}

/// What tells one waker from another, as [`Waker::will_wake`] does. While the cell holds a clone, nobody else has its data.
#[inline]
fn identity(waker: &Waker) -> (usize, usize) {
    (waker.data().addr(), ptr::from_ref(waker.vtable()).addr())
}

/// Leaves KEEPING, whether or not the clone of a waker panics.
struct SetStateOnDrop<'a> {
    kept: &'a KeptWaker,
    then: usize,
}

impl Drop for SetStateOnDrop<'_> {
    fn drop(&mut self) {
        // Release, with the Acquire of `kept.take`: the waker, whole.
        self.kept.state.store(self.then, order!("kept.kept", Release));
    }
}

/// Leaves WAKING, whether or not the waker panics.
struct Waking<'a>(&'a KeptWaker);

impl Drop for Waking<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release, with the Acquire of `kept.keep` and `kept.forget`: the waker was used for the last time.
        let release = order!("kept.woken", Release);
        let state = &self.0.state;
        if state.compare_exchange(WAKING, IDLE, release, Ordering::Relaxed).is_err() {
            // The waiter has left, and nobody else leaves LEFT.
            // SAFETY: in WAKING and LEFT only the ringer that entered WAKING touches the cell, and it does no more.
            let waker = unsafe { self.0.empty() };
            // Release, with the Acquire of `kept.keep`: the cell is empty.
            state.store(IDLE, order!("kept.dropped", Release));
            drop(waker);
        }
    }
}
