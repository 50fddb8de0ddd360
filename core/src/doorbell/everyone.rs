//! Bells where each task waits for something of its own, so that a ringer must wake all.

use core::task::Waker;

use super::Bells;

/// Wakes all that sleep where `B` would wake one: for waiters each of which may be the only one whom the news concerns.
#[derive(Debug, Default)]
pub struct Everyone<B>(pub B);

impl<B: Bells> Bells for Everyone<B> {
    /// All are woken: nobody has a wake to pass on.
    const SHARED: bool = false;

    const SEATS: usize = B::SEATS;

    type Seat = B::Seat;

    fn take_seat(&self) -> Option<B::Seat> {
        self.0.take_seat()
    }

    fn leave_seat(&self, seat: &B::Seat) {
        self.0.leave_seat(seat);
    }

    fn park(&self, seat: &B::Seat, waker: &Waker) {
        self.0.park(seat, waker);
    }

    fn unpark(&self, seat: &B::Seat) -> bool {
        self.0.unpark(seat)
    }

    #[inline]
    fn ring(&self) {
        self.0.ring_all();
    }

    #[inline]
    fn ring_all(&self) {
        self.0.ring_all();
    }
}
