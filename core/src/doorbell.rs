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
//! The bell keeps the waker after it has woken by it, so that a task that parks again with the same one clones nothing and
//! drops nothing. It is dropped when a task parks with another waker, when the seat is left ([`Bells::leave_seat`]), by
//! [`Doorbell::forget`], or with the bell: until then the bell keeps the task in memory.
//!
//! Wakers are foreign code: they may panic, run the task in place, and the task may park at the same bell again. A bell
//! allows that: while a ringer wakes by the kept waker, the task parks at a second place.
//!
//! Whichever fence comes second sees the other side's store. The fence is a step of its own because it is the dear
//! part: who publishes a hundred messages in one poll announces once, then rings each bell.
//!
//! Where several tasks wait for the same thing, as the readers of one queue do, they have seats in a [`Row`], or in a
//! `Growing` set of rows on the heap (feature `alloc`). A ringer wakes one of them; what that one owes to the others is
//! said at [`Bells`], the trait that all have.

mod bells;
#[cfg(feature = "alloc")]
mod growing;
mod kept;
mod row;
mod spare;

use core::task::Waker;

use crate::sync::{AtomicUsize, barrier, const_unless_loom};

use kept::Kept;
use spare::Spare;

pub use bells::Bells;
#[cfg(feature = "alloc")]
pub use growing::Growing;
pub use row::Row;

/// Rings for each of `bells`, whatever `ring` does with it. If a waker panics, those behind it are rung all the same, and
/// the panic goes on; a second panic then ends the program.
#[inline]
pub fn ring_each<B>(bells: impl IntoIterator<Item = B>, ring: impl FnMut(B)) {
    /// Those that are still to be rung, if one panics.
    struct Rest<I: Iterator, F: FnMut(I::Item)>(I, F);

    impl<I: Iterator, F: FnMut(I::Item)> Drop for Rest<I, F> {
        #[inline]
        fn drop(&mut self) {
            self.0.by_ref().for_each(&mut self.1);
        }
    }

    let mut rest = Rest(bells.into_iter(), ring);
    for bell in rest.0.by_ref() {
        (rest.1)(bell);
    }
}

/// Makes all that this thread published before visible to every waiter that parks after it. Call it once, then
/// [`Doorbell::ring`] each bell that may care.
#[inline]
pub fn announce() {
    barrier!("doorbell.announce", SeqCst);
}

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
    kept: Kept,
    spare: Spare,
    /// Whether somebody has the one seat, where seats are given ([`Bells`]).
    taken: AtomicUsize,
}

impl Doorbell {
    const_unless_loom! {
        /// A bell that nobody waits at.
        #[must_use]
        pub const fn new() -> Doorbell {
            Doorbell { kept: Kept::new(), spare: Spare::new(), taken: AtomicUsize::new(0) }
        }
    }

    /// Waiter: keeps `waker` and says that it sleeps. The caller must look at its rings once more after this and may
    /// return `Pending` only if there is still nothing.
    ///
    /// One task waits at a bell at a time. If two do, the later waker replaces the earlier one, and if they park at the
    /// same time, either is the later one.
    #[inline]
    pub fn park(&self, waker: &Waker) {
        self.park_with(waker, || barrier!("doorbell.park", SeqCst));
    }

    /// Waiter: the second look found something after all, so nobody needs to ring.
    #[inline]
    pub fn unpark(&self) {
        self.kept.unpark();
        self.spare.unpark();
    }

    /// Whether a waiter said that it sleeps.
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.kept.is_parked() || self.spare.is_parked()
    }

    /// Ringer, after [`announce`]: wakes the waiter if it sleeps. Costs two loads if it does not.
    #[inline]
    pub fn ring(&self) {
        if self.kept.is_parked() && self.kept.wake() {
            // Whoever sleeps at the spare place now parked inside of that wake, or after it.
            return;
        }
        if self.spare.is_parked() {
            self.spare.wake();
        }
    }

    /// Waiter: drops the waker, so that the bell keeps no task in memory; the task is not woken any more. A ringer that is
    /// waking by it at this moment drops it instead, before its [`ring`](Doorbell::ring) returns.
    ///
    /// Whoever has a seat need not call this: [`Bells::leave_seat`] does.
    pub fn forget(&self) {
        self.kept.forget();
        self.spare.forget();
    }

    /// Ringer: as [`announce`] and then [`ring`](Doorbell::ring), and cheaper if the waiter sleeps: a waiter that was taken
    /// out of its sleep sees what was published before, without a fence of the ringer's. The fence is for a waiter that
    /// does not sleep yet.
    #[inline]
    pub fn announce_and_ring(&self) {
        if !(self.kept.is_parked() && self.kept.wake()) {
            announce();
            self.ring();
        }
    }

    /// Takes a waker in, says that the waiter sleeps, and raises the fence.
    #[inline]
    fn park_with(&self, waker: &Waker, fence: impl Fn()) {
        if self.kept.park_again(waker, &fence) {
            self.spare.unpark();
        } else {
            self.park_anew(waker);
            fence();
        }
    }

    #[cold]
    fn park_anew(&self, waker: &Waker) {
        if self.kept.park(waker) {
            self.spare.unpark();
        } else {
            self.spare.park(waker);
        }
    }
}

impl Default for Doorbell {
    fn default() -> Doorbell {
        Doorbell::new()
    }
}
