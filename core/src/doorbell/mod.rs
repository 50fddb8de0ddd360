//! Wakes the task that waits at the other side of a ring, without a lock, a queue or an allocation.
//!
//! A [`Doorbell`] belongs to one waiting task and may be rung by any number of threads. It is
//! level-triggered: it carries no message and no count, it only says "check again". A spurious wake
//! is allowed; a lost one is not.
//!
//! **One list of waiters.** Several tasks that wait for the same thing, such as the readers of one
//! queue, register in a [`WaiterList`]: a doorbell for each task, and one word that says which of
//! them sleep. One structure serves the fixed list in a `static` and the list that grows on the
//! heap ([`Growth`]). The trait [`Waiters`] covers both, and a single doorbell. A doorbell is not a
//! list with one place: it never passes a wake on, and rings with one load less and, if the task
//! sleeps, without the fence. It has two cells for wakers, because a waker is foreign code: the
//! *kept* cell wakes by reference, so that a task that parks again clones and drops nothing. During
//! that wake the task may run and park again, in the *spare* cell.
//!
//! The protocol is a Dekker handshake over two facts, "there is something" (a ring's stamp or
//! cursor) and "I sleep" (the bell's state), with a `SeqCst` fence between each side's store and
//! its load:
//!
//! | waiter | ringer |
//! | --- | --- |
//! | check; nothing there | publish |
//! | [`Doorbell::park`]: store the waker, `PARKED`, fence | [`announce`]: fence |
//! | check again; return `Pending` only if still nothing | [`Doorbell::ring`]: if `PARKED`, wake |
//!
//! Whichever fence comes second sees the other side's store. The fence is a step of its own because
//! it is the expensive part: a task that publishes a hundred messages in one poll announces once,
//! then rings all bells.
//!
//! A bell keeps the waker after waking by it. The waker is dropped when a task parks with another
//! waker, when the task unregisters ([`Waiters::unregister`]), by [`Doorbell::forget`], or with the
//! bell: until then the bell keeps the task in memory.
//!
//! **Another process.** A waker is useless there. A [`SleepWord`] in shared memory says whether its
//! owner sleeps, and an [`Alarm`] at the other side remembers for which sleep it has rung.
//!
//! **Many sources.** A [`ReadyWord`] has a bit for each ring that may have something, for a task
//! that reads many rings.
//!
//! Read this file, `cells.rs`, `list.rs`, `growth.rs`; then `sleep.rs` and `ready.rs`.

mod cells;
#[cfg(feature = "alloc")]
mod growth;
mod list;
mod ready;
mod sleep;

use core::task::Waker;

use crate::sync::{AtomicUsize, barrier, const_unless_loom};

use cells::{KeptWaker, SpareWaker};

#[cfg(feature = "alloc")]
pub use growth::{AlwaysRoom, GrowingWaiterList, OnHeap, RareKey, RareWaiterList};
pub use list::{Fixed, Growth, Key, WaiterList, Waiters};
pub use ready::ReadyWord;
pub use sleep::{Alarm, SleepWord, WakePath};

/// Calls `ring` for each of `bells`. If a waker panics, the remaining bells are rung and the panic
/// continues; a second panic ends the program.
#[inline]
pub fn ring_each<B>(bells: impl IntoIterator<Item = B>, ring: impl FnMut(B)) {
    /// When dropped, rings the remaining bells: there are some only after a panic.
    struct RingRest<I: Iterator, F: FnMut(I::Item)>(I, F);

    impl<I: Iterator, F: FnMut(I::Item)> Drop for RingRest<I, F> {
        #[inline]
        fn drop(&mut self) {
            self.0.by_ref().for_each(&mut self.1);
        }
    }

    let mut rest = RingRest(bells.into_iter(), ring);
    for bell in rest.0.by_ref() {
        (rest.1)(bell);
    }
}

/// Makes everything that this thread published before visible to every waiter that parks after this
/// call. Call it once, then [`Doorbell::ring`] each bell whose task may wait for it.
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
/// bell.park(Waker::noop()); // then check once more before sleeping
/// assert!(bell.is_parked());
/// announce();
/// bell.ring();
/// assert!(!bell.is_parked());
/// ```
#[derive(Debug, Default)]
pub struct Doorbell {
    kept: KeptWaker,
    spare: SpareWaker,
    /// Whether a task is registered ([`Waiters`]).
    taken: AtomicUsize,
}

impl Doorbell {
    const_unless_loom! {
        /// Creates a bell without a waiter.
        #[must_use]
        pub const fn new() -> Doorbell {
            Doorbell { kept: KeptWaker::new(), spare: SpareWaker::new(), taken: AtomicUsize::new(0) }
        }
    }

    /// Waiter: stores `waker` and marks the task as asleep. The caller must check its rings once
    /// more after this and may return `Pending` only if there is still nothing.
    ///
    /// One task waits at a bell at a time. If two do, the later waker replaces the earlier one; if
    /// they park at the same time, either may be the later one.
    #[inline]
    pub fn park(&self, waker: &Waker) {
        self.park_with(waker, || barrier!("doorbell.park", SeqCst));
    }

    /// Waiter: marks the task as awake, because its second check found something.
    #[inline]
    pub fn unpark(&self) {
        self.kept.unpark();
        self.spare.unpark();
    }

    /// Returns whether a waiter is marked as asleep.
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.kept.is_parked() || self.spare.is_parked()
    }

    /// Ringer: wakes the waiter if it sleeps. Call [`announce`] first. Costs two loads if it does
    /// not sleep.
    #[inline]
    pub fn ring(&self) {
        if self.kept.is_parked() && self.kept.wake() {
            // The spare cell needs no wake: a task that sleeps there parked during this wake or
            // after it, and has checked again since.
            return;
        }
        if self.spare.is_parked() {
            self.spare.wake();
        }
    }

    /// Waiter: drops the waker, so that the bell no longer keeps the task in memory. The task is
    /// not woken any more. If a ringer is waking by this waker now, the ringer drops it before its
    /// [`ring`](Doorbell::ring) returns.
    ///
    /// A registered task need not call this: [`Waiters::unregister`] does.
    pub fn forget(&self) {
        self.kept.forget();
        self.spare.forget();
    }

    /// Ringer: calls [`announce`] and [`ring`](Doorbell::ring). Cheaper if the waiter sleeps,
    /// because a woken waiter sees what was published before without the ringer's fence. The fence
    /// is for a waiter that does not sleep yet.
    #[inline]
    pub fn announce_and_ring(&self) {
        if !(self.kept.is_parked() && self.kept.wake()) {
            announce();
            self.ring();
        }
    }

    /// Stores a waker, marks the waiter as asleep, and raises the fence.
    #[inline]
    fn park_with(&self, waker: &Waker, fence: impl Fn()) {
        if self.kept.park_again(waker, &fence) {
            self.spare.unpark();
        } else {
            self.park_slow(waker);
            fence();
        }
    }

    #[cold]
    fn park_slow(&self, waker: &Waker) {
        if self.kept.park(waker) {
            self.spare.unpark();
        } else {
            self.spare.park(waker);
        }
    }
}
