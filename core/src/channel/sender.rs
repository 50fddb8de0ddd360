//! The sending end of a channel. Its futures are in `sending.rs`.

#![allow(unsafe_code)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::task::{Context, Poll, ready};

use super::error::SendError;
use super::reserve::{Permit, Reserve};
use super::waiters::{Sides, Waiter};
use crate::ring::{GrantError, Producer, PushError};
use crate::wait::WaitStrategy;

/// The sending end of a channel. When the last one is dropped, the channel closes.
///
/// `P` is an end of the ring, `L` leads to the [`ChannelWaiters`](super::ChannelWaiters).
pub struct Sender<P: Producer, L: Deref<Target: Sides>> {
    pub(super) producer: ManuallyDrop<P>,
    waiter: Waiter<<L::Target as Sides>::Senders>,
    pub(super) waiters: L,
}

impl<P: Producer, L: Deref<Target: Sides>> Sender<P, L> {
    /// A sender of a channel of your own: an end of a ring, and the waiters that the receivers
    /// share. `None` if all places of senders are taken.
    pub fn new(producer: P, waiters: L) -> Option<Sender<P, L>> {
        let waiter = Waiter::join(waiters.senders())?;
        Some(Sender { producer: ManuallyDrop::new(producer), waiter, waiters })
    }

    /// Another sender, or `None` if the channel allows no further one.
    #[must_use]
    pub fn try_clone(&self) -> Option<Sender<P, L>>
    where
        P: Reserve,
        L: Clone,
    {
        let mut other = Sender::new(self.producer.try_clone()?, self.waiters.clone())?;
        other.waiter.set_strategy(self.waiter.strategy());
        Some(other)
    }

    /// How this end waits for room from now on; at first it is [`WaitStrategy::Park`].
    pub fn set_wait_strategy(&mut self, strategy: WaitStrategy) {
        self.waiter.set_strategy(strategy);
    }

    /// Sends an item if there is room now.
    ///
    /// # Errors
    /// [`PushError`] with the item, if the ring is full or the receivers are gone.
    #[inline]
    pub fn try_send(&mut self, item: P::Item) -> Result<(), PushError<P::Item>> {
        self.producer.try_push(item)?;
        self.notify();
        Ok(())
    }

    /// Whether the receivers are gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.producer.is_closed()
    }

    /// How many items the channel has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.producer.capacity()
    }

    /// How many items wait in the channel, as far as this end can see. In a channel with several
    /// senders, slots that are reserved or were aborted count until a receiver has skipped them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producer.len()
    }

    /// Whether nothing waits in the channel, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producer.is_empty()
    }

    /// Ends sending by this end, as dropping it does. When all senders are gone, receivers get the
    /// remaining items and then the end.
    pub fn close(self) {}

    /// Sends without a notification: the caller calls `notify`.
    #[cfg(feature = "futures")]
    pub(super) fn push(&mut self, item: P::Item) -> Result<(), PushError<P::Item>> {
        self.producer.try_push(item)
    }

    /// Wakes a receiver for the pushed items.
    #[inline]
    pub(super) fn notify(&self) {
        self.waiters.receivers().notify_one();
    }

    /// The same as [`send`](Sender::send), for your own futures: takes the item once it was sent,
    /// or hands it back with the error.
    #[inline]
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        item: &mut Option<P::Item>,
    ) -> Poll<Result<(), SendError<P::Item>>> {
        let producer = &mut *self.producer;
        let sent = ready!(self.waiter.poll(self.waiters.senders(), context.waker(), |_| {
            match producer.try_push(item.take()?) {
                Ok(()) => Some(Ok(())),
                Err(PushError::Closed(back)) => Some(Err(SendError(back))),
                Err(PushError::Full(back)) => {
                    *item = Some(back);
                    None
                }
            }
        }));
        if sent.is_ok() {
            self.notify();
        }
        self.end_wait();
        Poll::Ready(sent)
    }

    pub(super) fn poll_reserve(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Permit<'_, P, L>, SendError<()>>>
    where
        P: Reserve,
    {
        let producer: *mut P = &mut *self.producer;
        let senders = self.waiters.senders();
        let slot = ready!(self.waiter.poll(senders, context.waker(), |_| {
            // SAFETY: the producer is borrowed as long as the permit lives, and by each check in
            // turn: no check follows one that got a slot.
            match unsafe { &mut *producer }.reserve_slot() {
                Ok(slot) => Some(Ok(slot)),
                Err(GrantError::Closed) => Some(Err(SendError(()))),
                Err(_) => None,
            }
        }));
        // The producer is borrowed by the slot, so whether there is more room is not checked here:
        // another sender may.
        self.waiter.succeeded(senders, || true);
        Poll::Ready(slot.map(|slot| Permit::new(slot, &self.waiters)))
    }

    pub(super) fn poll_send_many(
        &mut self,
        context: &mut Context<'_>,
        items: &mut impl Iterator<Item = P::Item>,
        sent: &mut usize,
    ) -> Poll<Result<usize, SendError<usize>>>
    where
        P: Reserve,
    {
        enum Stop {
            Done,
            Closed,
            Enough,
        }

        /// Wakes a receiver for the sent items, even if the iterator panics after it.
        struct NotifyOnDrop<'a, L: Deref<Target: Sides>> {
            waiters: &'a L,
            before: usize,
            sent: &'a mut usize,
        }

        impl<L: Deref<Target: Sides>> Drop for NotifyOnDrop<'_, L> {
            #[inline]
            fn drop(&mut self) {
                if *self.sent != self.before {
                    self.waiters.receivers().notify_one();
                }
            }
        }

        let before = *sent;
        let notify = NotifyOnDrop { waiters: &self.waiters, before, sent };
        let producer = &mut *self.producer;
        // Limits one poll: with a receiver that keeps pace this task would never yield.
        let most = before.saturating_add(producer.capacity());
        let stop = self.waiter.poll(self.waiters.senders(), context.waker(), |_| {
            loop {
                if items.size_hint().1 == Some(0) {
                    return Some(Stop::Done);
                }
                if *notify.sent == most {
                    return Some(Stop::Enough);
                }
                // A permit, which aborts the slot correctly if the iterator ends or panics.
                let permit = match producer.reserve_slot() {
                    Ok(slot) => Permit::<P, L>::new(slot, notify.waiters),
                    Err(GrantError::Closed) => return Some(Stop::Closed),
                    Err(_) => return None,
                };
                // Only now: an item without a slot stays with the caller.
                let Some(item) = items.next() else { return Some(Stop::Done) };
                permit.fill(item);
                *notify.sent += 1;
            }
        });
        // Also if the wait continues: receivers must make the room.
        drop(notify);
        let stop = ready!(stop);
        self.end_wait();
        match stop {
            Stop::Done => Poll::Ready(Ok(*sent)),
            Stop::Closed => Poll::Ready(Err(SendError(*sent))),
            Stop::Enough => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Ends a wait that got room, or found the channel closed.
    #[inline]
    fn end_wait(&mut self) {
        let producer = &mut *self.producer;
        self.waiter.succeeded(self.waiters.senders(), || !producer.is_full());
    }

    #[inline]
    pub(super) fn cancel_wait(&mut self) {
        self.waiter.cancelled(self.waiters.senders());
    }
}

impl<P: Producer, L: Deref<Target: Sides>> Drop for Sender<P, L> {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not used again.
        let producer = unsafe { ManuallyDrop::take(&mut self.producer) };
        // First: a waker that panics below leaves no registration behind.
        self.waiter.unregister(self.waiters.senders());
        if self.waiters.senders().leave() {
            producer.close();
            self.waiters.receivers().notify_all();
        }
    }
}

// By hand: nothing inside need be `Debug`.
impl<P: Producer, L: Deref<Target: Sides>> fmt::Debug for Sender<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} of {})", self.len(), self.capacity())
    }
}
