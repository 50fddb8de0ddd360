//! The waiting of a channel's ends: their registration, the wait of one end, and the future of a
//! wait. This file may use doorbells and wait strategies, but no ring.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crossbeam_utils::CachePadded;

use crate::doorbell::Waiters;
use crate::sync::{AtomicUsize, Ordering, const_unless_loom, order};
use crate::wait::{SpinResult, SpinWait, WaitStrategy};

/// The state that the ends of a channel share beside the ring: senders wait for room, receivers
/// wait for items.
#[derive(Debug)]
pub struct ChannelWaiters<S, R> {
    senders: CachePadded<Side<S>>,
    receivers: CachePadded<Side<R>>,
}

/// One side of a channel.
#[derive(Debug)]
pub struct Side<W> {
    waiters: W,
    /// The number of ends of this side, if it may have several.
    ends: AtomicUsize,
    may_abort: AtomicUsize,
}

impl<W> Side<W> {
    const_unless_loom! {
        pub(super) const fn new(waiters: W) -> Side<W> {
            Side { waiters, ends: AtomicUsize::new(0), may_abort: AtomicUsize::new(0) }
        }
    }

    /// Records that an end of this side may abort a claimed slot, which readers must then skip.
    /// Call this before marking the slot.
    pub(super) fn set_may_abort(&self) {
        self.may_abort.store(1, Ordering::Relaxed);
    }

    /// Returns whether an end of this side may have aborted a slot. A reader that skips such a slot
    /// sees `true`, because it was stored before the slot was marked.
    #[inline]
    pub(super) fn may_have_aborted(&self) -> bool {
        self.may_abort.load(Ordering::Relaxed) != 0
    }

    /// Removes an end from the count. Returns whether it was the last one: always on a side with
    /// one place, whose ends are not counted.
    pub(super) fn leave(&self) -> bool
    where
        W: Waiters,
    {
        // Release and Acquire: the last end sees everything that the other ends did before.
        !W::SHARED || self.ends.fetch_sub(1, order!("channel-waiters.leave", AcqRel)) == 1
    }
}

impl<W: Waiters> Side<W> {
    /// Returns whether another end of this side starves and comes first.
    #[inline]
    pub(super) fn must_yield(&self, key: &W::Key) -> bool {
        self.waiters.must_yield(key)
    }

    /// Wakes one waiting end of this side. The caller has published what it waits for.
    #[inline]
    pub(super) fn notify_one(&self) {
        self.waiters.announce_and_ring();
    }

    /// Wakes all waiting ends of this side. The caller has published what they wait for.
    pub(super) fn notify_all(&self) {
        crate::doorbell::announce();
        self.waiters.ring_all();
    }
}

impl<S, R> ChannelWaiters<S, R> {
    const_unless_loom! {
        /// Creates the waiters of a channel without ends. Senders wait at `senders` for room,
        /// receivers at `receivers` for items.
        #[must_use]
        pub const fn new(senders: S, receivers: R) -> ChannelWaiters<S, R> {
            ChannelWaiters {
                senders: CachePadded::new(Side::new(senders)),
                receivers: CachePadded::new(Side::new(receivers)),
            }
        }
    }
}

/// The waiters of a channel, as a trait over their kinds. See [`ChannelWaiters`].
pub trait Sides {
    /// Where senders wait.
    type Senders: Waiters;
    /// Where receivers wait.
    type Receivers: Waiters;

    /// Returns the side of the senders.
    #[doc(hidden)]
    fn senders(&self) -> &Side<Self::Senders>;

    /// Returns the side of the receivers.
    #[doc(hidden)]
    fn receivers(&self) -> &Side<Self::Receivers>;
}

impl<S: Waiters, R: Waiters> Sides for ChannelWaiters<S, R> {
    type Senders = S;
    type Receivers = R;

    #[inline]
    fn senders(&self) -> &Side<S> {
        &self.senders
    }

    #[inline]
    fn receivers(&self) -> &Side<R> {
        &self.receivers
    }
}

/// One end of a channel as a waiter. It stays registered while the end lives, so a wait need not
/// register.
#[derive(Debug)]
pub(super) struct Waiter<W: Waiters> {
    key: W::Key,
    spin_wait: SpinWait,
    /// Whether this end has parked and has not ended that wait.
    parked: bool,
    /// Whether it has parked again in that wait: it was woken and found nothing.
    starving: bool,
    /// Whether its last wait got the last thing and no more. Its turn then includes its next wait,
    /// so that the turns of all are worth the same if things come in batches.
    keeps_turn: bool,
}

impl<W: Waiters> Waiter<W> {
    /// Registers an end, and counts it if there may be several; returns `None` if all places are
    /// taken.
    pub(super) fn join(side: &Side<W>) -> Option<Waiter<W>> {
        let key = side.waiters.register()?;
        if W::SHARED {
            side.ends.fetch_add(1, Ordering::Relaxed);
        }
        Some(Waiter {
            key,
            spin_wait: SpinWait::default(),
            parked: false,
            starving: false,
            keeps_turn: false,
        })
    }

    pub(super) fn strategy(&self) -> WaitStrategy {
        self.spin_wait.strategy()
    }

    pub(super) fn set_strategy(&mut self, strategy: WaitStrategy) {
        self.spin_wait = SpinWait::new(strategy);
    }

    /// Calls `check` until it finds something or the strategy says to park; then parks and checks
    /// once more. `check` gets this end's key, and true in that last call, which must see every
    /// published item. If `check` found something, the caller ends the wait by
    /// [`Waiter::succeeded`].
    #[inline]
    pub(super) fn poll<R>(
        &mut self,
        side: &Side<W>,
        waker: &Waker,
        mut check: impl FnMut(&W::Key, bool) -> Option<R>,
    ) -> Poll<R> {
        match check(&self.key, false) {
            Some(found) => Poll::Ready(found),
            None => self.poll_slow(side, waker, check),
        }
    }

    fn poll_slow<R>(
        &mut self,
        side: &Side<W>,
        waker: &Waker,
        mut check: impl FnMut(&W::Key, bool) -> Option<R>,
    ) -> Poll<R> {
        match self.spin_wait.spin(WaitStrategy::SPINS, || check(&self.key, false)) {
            SpinResult::Found(found) => return Poll::Ready(found),
            SpinResult::Again => {
                waker.wake_by_ref();
                return Poll::Pending;
            }
            SpinResult::Park => {}
        }
        if W::SHARED && (self.parked || self.keeps_turn) && !self.starving {
            self.starving = true;
            side.waiters.starve(&self.key);
        }
        self.parked = true;
        side.waiters.park(&self.key, waker);
        check(&self.key, true).map_or(Poll::Pending, Poll::Ready)
    }

    /// Ends a successful wait. If this end had parked and there may be `more`, wakes another end.
    #[inline]
    pub(super) fn succeeded(&mut self, side: &Side<W>, more: impl FnOnce() -> bool) {
        self.spin_wait.reset();
        if self.parked {
            self.parked = false;
            side.waiters.unpark(&self.key);
            let first = self.starving && self.relieve(side);
            if !W::SHARED {
                return;
            }
            let more = more();
            self.keeps_turn = first && !more && !self.keeps_turn;
            if first && !self.keeps_turn {
                side.waiters.pass_turn(&self.key);
            }
            if more {
                side.waiters.ring();
            }
        }
    }

    /// Ends a wait without success. Passes on a wake that this end has received.
    #[inline]
    pub(super) fn cancelled(&mut self, side: &Side<W>) {
        self.spin_wait.reset();
        if self.parked {
            self.parked = false;
            self.keeps_turn = false;
            let woken = side.waiters.unpark(&self.key);
            let starved = self.starving;
            if starved && self.relieve(side) {
                side.waiters.pass_turn(&self.key);
            }
            if (starved || woken) && W::SHARED {
                side.waiters.ring();
            }
        }
    }

    /// Ends the starving of this end. Returns whether it was the first one.
    fn relieve(&mut self, side: &Side<W>) -> bool {
        self.starving = false;
        side.waiters.relieve(&self.key)
    }

    /// Ends a poll that is pending although there may be `more`, if it is for an end that starves:
    /// wakes that end, in case the ring for it came to this one.
    #[inline]
    pub(super) fn yielded(&self, side: &Side<W>, more: impl FnOnce() -> bool) {
        if self.must_yield(side) && more() {
            side.waiters.ring_first();
        }
    }

    /// Returns whether another end starves and comes first.
    #[inline]
    pub(super) fn must_yield(&self, side: &Side<W>) -> bool {
        side.must_yield(&self.key)
    }

    /// Removes the registration.
    pub(super) fn unregister(&mut self, side: &Side<W>) {
        self.cancelled(side);
        side.waiters.unregister(&self.key);
    }
}

/// An end whose wait a future can cancel.
pub(super) trait End {
    /// Ends a wait without success.
    fn cancel_wait(&mut self);
}

/// The future of an end's wait. Dropping it ends the wait.
pub(super) struct Waiting<'a, E: End, F> {
    end: &'a mut E,
    poll: F,
}

impl<'a, E: End, F> Waiting<'a, E, F> {
    #[inline]
    pub(super) fn new<T>(end: &'a mut E, poll: F) -> Waiting<'a, E, F>
    where
        F: FnMut(&mut E, &mut Context<'_>) -> Poll<T>,
    {
        Waiting { end, poll }
    }
}

impl<T, E: End, F: FnMut(&mut E, &mut Context<'_>) -> Poll<T>> Future for Waiting<'_, E, F> {
    type Output = T;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        (this.poll)(this.end, context)
    }
}

/// The fields are moved, never pinned.
impl<E: End, F> Unpin for Waiting<'_, E, F> {}

impl<E: End, F> Drop for Waiting<'_, E, F> {
    #[inline]
    fn drop(&mut self) {
        self.end.cancel_wait();
    }
}
