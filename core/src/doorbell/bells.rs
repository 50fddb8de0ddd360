//! What all sets of bells have in common, for code that waits at any of them.

use core::task::Waker;

use super::Doorbell;
use crate::sync::{Ordering, order};

/// Where the tasks wait that want the same thing: [`Doorbell`] for one task, [`Row`](super::Row) for several.
///
/// Each task has a seat, for as long as it may want to wait. Check, [`park`](Bells::park), check again.
///
/// A ringer wakes one task, not all, so a wake is a baton: the promise is that *as long as there is something to be had
/// and somebody sleeps, somebody else is awake who will look*. Therefore
/// - who had parked and then got what it wanted calls [`unpark`](Bells::unpark), looks whether there is more, and rings
///   if so, since one ring may be for several items: those behind a slot that was not filled yet were rung for too
///   early;
/// - who gives up waiting calls [`unpark`](Bells::unpark), and rings if that says that the wake had come.
pub trait Bells {
    /// Whether more than one task may wait here, so that a wake must be passed on.
    const SHARED: bool;

    /// How many tasks may have a seat at a time.
    const SEATS: usize = usize::MAX;

    /// Which place a task waits at.
    type Seat: Send;

    /// A free seat, or `None` if all are taken.
    fn take_seat(&self) -> Option<Self::Seat>;

    /// Gives a seat back. Nobody is parked there; the waker that was is forgotten.
    fn leave_seat(&self, seat: &Self::Seat);

    /// Keeps `waker` and says that it sleeps. The caller must look once more after this and may return `Pending` only if
    /// there is still nothing.
    fn park(&self, seat: &Self::Seat, waker: &Waker);

    /// Ends the wait of a seat at which [`park`](Bells::park) was called, and says whether it had been rung. If so, and
    /// wakes are to be passed on, the caller sees from now on what had been published before the ring.
    fn unpark(&self, seat: &Self::Seat) -> bool;

    /// After [`announce`](super::announce): wakes one task that sleeps, if there is one.
    fn ring(&self);

    /// After [`announce`](super::announce): wakes all tasks that sleep.
    fn ring_all(&self);

    /// As [`announce`](super::announce) and then [`ring`](Bells::ring), for one set of bells: cheaper where that can wake
    /// without the fence.
    #[inline]
    fn announce_and_ring(&self) {
        super::announce();
        self.ring();
    }
}

/// One task waits here: there is one seat.
impl Bells for Doorbell {
    const SHARED: bool = false;

    const SEATS: usize = 1;

    type Seat = ();

    fn take_seat(&self) -> Option<()> {
        // Acquire, with the Release of `doorbell.leave-seat`: the state as the one before left it, or this one may take
        // itself for a second waiter.
        let acquire = order!("doorbell.take-seat", Acquire);
        self.taken.compare_exchange(0, 1, acquire, Ordering::Relaxed).ok().map(drop)
    }

    fn leave_seat(&self, (): &()) {
        self.forget();
        self.taken.store(0, order!("doorbell.leave-seat", Release));
    }

    #[inline]
    fn park(&self, (): &(), waker: &Waker) {
        Doorbell::park(self, waker);
    }

    #[inline]
    fn unpark(&self, (): &()) -> bool {
        Doorbell::unpark(self);
        // Nobody is here to pass a wake on to.
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
