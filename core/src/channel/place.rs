//! How one end waits: it looks as long as its policy says, then parks, and looks once more.

use core::task::{Poll, Waker};

use crate::doorbell::Bells;
use crate::wait::{Looked, Patience, Wait};

/// Where one end waits, and how. The end has it for life, so that waiting takes no turn at a queue.
#[derive(Debug)]
pub(super) struct Place<B: Bells> {
    seat: B::Seat,
    patience: Patience,
    /// Whether it parked and has not come back from that.
    parked: bool,
}

impl<B: Bells> Place<B> {
    pub(super) fn new(seat: B::Seat, wait: Wait) -> Place<B> {
        Place { seat, patience: Patience::new(wait), parked: false }
    }

    pub(super) fn wait(&self) -> Wait {
        self.patience.wait()
    }

    pub(super) fn set_wait_strategy(&mut self, wait: Wait) {
        self.patience = Patience::new(wait);
    }

    /// Looks until there is something or the policy says to wait. Once there is something, the caller ends the wait by
    /// [`Place::got`]. `look` is told whether it is the last look, after parking: that one must see all that is there.
    #[inline]
    pub(super) fn poll<R>(
        &mut self,
        bells: &B,
        waker: &Waker,
        mut look: impl FnMut(bool) -> Option<R>,
    ) -> Poll<R> {
        match look(false) {
            Some(found) => Poll::Ready(found),
            None => self.poll_again(bells, waker, look),
        }
    }

    fn poll_again<R>(
        &mut self,
        bells: &B,
        waker: &Waker,
        mut look: impl FnMut(bool) -> Option<R>,
    ) -> Poll<R> {
        match self.patience.look(Wait::LOOKS, || look(false)) {
            Looked::Found(found) => return Poll::Ready(found),
            Looked::Again => {
                waker.wake_by_ref();
                return Poll::Pending;
            }
            Looked::Park => {}
        }
        self.parked = true;
        bells.park(&self.seat, waker);
        look(true).map_or(Poll::Pending, Poll::Ready)
    }

    /// This end got what it wanted. If it had parked and there may be `more`, one of the others who wait for the same is
    /// rung.
    #[inline]
    pub(super) fn got(&mut self, bells: &B, more: impl FnOnce() -> bool) {
        self.patience.renew();
        if self.parked {
            self.parked = false;
            bells.unpark(&self.seat);
            if B::SHARED && more() {
                bells.ring();
            }
        }
    }

    /// This end waits no more, though it got nothing: a wake that came for it is passed on.
    #[inline]
    pub(super) fn gave_up(&mut self, bells: &B) {
        self.patience.renew();
        if self.parked {
            self.parked = false;
            if bells.unpark(&self.seat) && B::SHARED {
                bells.ring();
            }
        }
    }

    /// Gives the seat back, for good.
    pub(super) fn leave(&mut self, bells: &B) {
        self.gave_up(bells);
        bells.leave_seat(&self.seat);
    }
}
