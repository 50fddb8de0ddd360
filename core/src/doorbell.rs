//! How one side of a ring learns that the other side did something, without a lock, a queue or an allocation.
//!
//! A [`Doorbell`] belongs to one waiting task and may be rung by any number of threads. It is level-triggered: it
//! carries no message and no count, it only says "look again". A wake too many is allowed; a lost one is not.
//!
//! The protocol is a Dekker handshake over two facts, "there is something" (a ring's stamp or cursor) and "I sleep"
//! (the bell's state), with a `SeqCst` fence between each side's store and its load:
//!
//! | waiter | ringer |
//! | --- | --- |
//! | look; nothing there | publish |
//! | [`Doorbell::park`]: keep the waker, `PARKED`, fence | [`announce`]: fence |
//! | look again; return `Pending` only if still nothing | [`Doorbell::ring`]: if `PARKED`, wake |
//!
//! Whichever fence comes second sees the other side's store. The fence is a step of its own because it is the dear
//! part: who publishes a hundred messages in one poll announces once, then rings each bell.
//!
//! Where several tasks wait for the same thing, as the readers of one queue do, they have seats in a [`Row`], or in a
//! `Growing` set of rows on the heap (feature `alloc`). A ringer wakes one of them; what that one owes to the others is
//! said at [`Bells`], the trait that all have.

#![allow(unsafe_code)]

mod bells;
#[cfg(feature = "alloc")]
mod growing;
mod row;

use core::task::Waker;

use crate::sync::{AtomicUsize, Ordering, SharedCell, barrier, const_unless_loom, order};

pub use bells::Bells;
#[cfg(feature = "alloc")]
pub use growing::Growing;
pub use row::Row;

/// Makes all that this thread published before visible to every waiter that parks after it. Call it once, then
/// [`Doorbell::ring`] each bell that may care.
#[inline]
pub fn announce() {
    barrier!("doorbell.announce", SeqCst);
}

/// Nobody waits. A waker of before may be kept.
const IDLE: usize = 0;
/// The waiter puts its waker in the cell, which is its own meanwhile.
const KEEPING: usize = 1;
/// The waiter sleeps, and its waker is in the cell.
const PARKED: usize = 2;
/// A ringer takes the waker out of the cell, which is its own meanwhile.
const WAKING: usize = 3;

/// A level-triggered wake-up for one waiting task. See the [module](self) for the protocol.
///
/// ```
/// use core::task::Waker;
/// use mycelium_core::doorbell::{Doorbell, announce};
///
/// let bell = Doorbell::new();
/// bell.park(Waker::noop()); // then look once more before sleeping
/// assert!(bell.is_parked());
/// announce();
/// bell.ring();
/// assert!(!bell.is_parked());
/// ```
#[derive(Debug)]
pub struct Doorbell {
    state: AtomicUsize,
    /// Whether somebody has the one seat, where seats are given ([`Bells`]).
    taken: AtomicUsize,
    waker: SharedCell<Option<Waker>>,
}

// SAFETY: `waker` is only touched by who moved `state` to KEEPING or to WAKING, until it moves it on; neither is left
// by anybody else. A `Waker` may be dropped and woken on any thread.
unsafe impl Sync for Doorbell {}

impl Doorbell {
    const_unless_loom! {
        /// A bell that nobody waits at.
        #[must_use]
        pub const fn new() -> Doorbell {
            Doorbell {
                state: AtomicUsize::new(IDLE),
                taken: AtomicUsize::new(0),
                waker: SharedCell::new(None),
            }
        }
    }

    /// Waiter: keeps `waker` and says that it sleeps. The caller must look at its rings once more after this and may
    /// return `Pending` only if there is still nothing.
    ///
    /// One task waits at a bell at a time. If two do, the later waker replaces the earlier one.
    #[inline]
    pub fn park(&self, waker: &Waker) {
        self.keep(waker);
        barrier!("doorbell.park", SeqCst);
    }

    /// Waiter: the second look found something after all, so nobody needs to ring.
    #[inline]
    pub fn unpark(&self) {
        if self.is_parked() {
            // If a ringer was faster, it wakes in vain.
            let relaxed = Ordering::Relaxed;
            _ = self.state.compare_exchange(PARKED, IDLE, relaxed, relaxed);
        }
    }

    /// Whether a waiter said that it sleeps.
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == PARKED
    }

    /// Ringer, after [`announce`]: wakes the waiter if it sleeps. Costs one load if it does not.
    #[inline]
    pub fn ring(&self) {
        if self.is_parked() {
            self.wake();
        }
    }

    /// Takes a waker in, and then says that the waiter sleeps; the fence is the caller's.
    fn keep(&self, waker: &Waker) {
        let mut state = self.state.load(Ordering::Relaxed);
        while state != KEEPING {
            if state == WAKING {
                // A ringer has the cell, and wakes for what was before; this waiter looks again by itself.
                waker.wake_by_ref();
                return;
            }
            // Acquire, with the Release of `doorbell.taken` or of `doorbell.kept`: the cell as it was left.
            let acquire = order!("doorbell.keep", Acquire);
            match self.state.compare_exchange(state, KEEPING, acquire, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        if state == KEEPING {
            // A second waiter at this bell, which may replace this one.
            return;
        }
        let mut kept = Keeping { state: &self.state, then: IDLE };
        // SAFETY: the exchange above gave this thread the cell until it leaves KEEPING.
        let replaced = unsafe {
            self.waker.with_mut(|kept| match kept {
                Some(old) if old.will_wake(waker) => None,
                _ => kept.replace(waker.clone()),
            })
        };
        // A ringer that came meanwhile went away again: the waiter looks after this.
        kept.then = PARKED;
        drop(kept);
        drop(replaced);
    }

    /// Wakes the waiter if it sleeps. Of several ringers one does. The others may skip it: the waiter looks after the
    /// wake, and if it parks again its fence comes after theirs.
    #[cold]
    fn wake(&self) {
        let acquire = order!("doorbell.take", Acquire);
        if self.state.compare_exchange(PARKED, WAKING, acquire, Ordering::Relaxed).is_ok() {
            // SAFETY: the exchange gave this thread the cell until it leaves WAKING.
            let waker = unsafe { self.waker.with_mut(Option::take) };
            // Release, with the Acquire of `doorbell.keep`: nobody is at the cell any more.
            self.state.store(IDLE, order!("doorbell.taken", Release));
            // Not before: a waker may run the task here and now, and the task may park again.
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Forgets the waker, so that a bell that nobody waits at keeps no task in memory.
    fn forget(&self) {
        let relaxed = Ordering::Relaxed;
        let acquire = order!("doorbell.forget", Acquire);
        if self.state.compare_exchange(IDLE, KEEPING, acquire, relaxed).is_ok() {
            // SAFETY: the exchange gave this thread the cell until it leaves KEEPING.
            let waker = unsafe { self.waker.with_mut(Option::take) };
            self.state.store(IDLE, order!("doorbell.forgotten", Release));
            drop(waker);
        }
    }
}

/// Leaves KEEPING, whether or not the clone of a waker panics.
struct Keeping<'a> {
    state: &'a AtomicUsize,
    then: usize,
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        // Release, with the Acquire of `doorbell.take`: the waker, whole.
        self.state.store(self.then, order!("doorbell.kept", Release));
    }
}

impl Default for Doorbell {
    fn default() -> Doorbell {
        Doorbell::new()
    }
}
