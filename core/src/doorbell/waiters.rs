//! The trait of everything that tasks wait at: [`Doorbell`] for one task,
//! [`WaiterList`](super::WaiterList) for several. It may know the doorbell and nothing of rings or
//! channels.

use core::task::Waker;

use super::Doorbell;
use crate::sync::{Ordering, order};

/// Where tasks wait for the same thing.
///
/// Each task registers once and keeps its key for as long as it may want to wait. To wait: check,
/// call [`park`](Waiters::park), check again.
///
/// A ringer wakes one task, not all, so the task that is woken is responsible for the others. The
/// invariant: *while there is something to take and a task sleeps, another task is awake that will
/// check*. Therefore
/// - a task that parked and then got what it wanted calls [`unpark`](Waiters::unpark), checks
///   whether there is more, and rings if so. One ring may stand for several items: the ring for an
///   item behind a slot that was not filled yet came too early;
/// - a task that stops waiting without success calls [`unpark`](Waiters::unpark), and rings if that
///   says that it was woken.
pub trait Waiters {
    /// Whether more than one task may wait here, so that a wake must be passed on.
    const SHARED: bool;

    /// Identifies a registered task.
    type Key: Send;

    /// Registers a task. `None` if all places are taken.
    fn register(&self) -> Option<Self::Key>;

    /// Ends a registration. The task must not be parked. Its waker is dropped.
    fn unregister(&self, key: &Self::Key);

    /// Stores `waker` and marks the task as asleep. The caller must check once more after this and
    /// may return `Pending` only if there is still nothing.
    fn park(&self, key: &Self::Key, waker: &Waker);

    /// Ends the wait of a task that called [`park`](Waiters::park), and returns whether it had been
    /// rung. If so, and if wakes are to be passed on, the caller now sees everything that was
    /// published before the ring.
    fn unpark(&self, key: &Self::Key) -> bool;

    /// After [`announce`](super::announce): wakes one task that sleeps, if there is one.
    fn ring(&self);

    /// After [`announce`](super::announce): wakes all tasks that sleep.
    fn ring_all(&self);

    /// The same as [`announce`](super::announce) followed by [`ring`](Waiters::ring), for one set
    /// of waiters. Cheaper where it can wake without the fence.
    #[inline]
    fn announce_and_ring(&self) {
        super::announce();
        self.ring();
    }
}

/// One task waits here.
impl Waiters for Doorbell {
    const SHARED: bool = false;

    type Key = ();

    fn register(&self) -> Option<()> {
        // Acquire, pairs with the Release of `doorbell.unregister`: the state as the previous task
        // left it. Without it this task could take itself for a second waiter.
        let acquire = order!("doorbell.register", Acquire);
        self.taken.compare_exchange(0, 1, acquire, Ordering::Relaxed).ok().map(drop)
    }

    fn unregister(&self, (): &()) {
        self.forget();
        self.taken.store(0, order!("doorbell.unregister", Release));
    }

    #[inline]
    fn park(&self, (): &(), waker: &Waker) {
        Doorbell::park(self, waker);
    }

    #[inline]
    fn unpark(&self, (): &()) -> bool {
        Doorbell::unpark(self);
        // No other task could take over the wake.
        false
    }

    #[inline]
    fn ring(&self) {
        Doorbell::ring(self);
    }

    #[inline]
    fn ring_all(&self) {
        Doorbell::ring(self);
    }

    #[inline]
    fn announce_and_ring(&self) {
        Doorbell::announce_and_ring(self);
    }
}
