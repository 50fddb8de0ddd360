//! The receiving end of a channel.

#![allow(unsafe_code)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::task::{Context, Poll, ready};

use super::waiters::{End, Sides, Waiter, Waiting};
use crate::ring::{Consumer, PopError};
use crate::wait::WaitStrategy;

/// The receiving end of a channel. When the last one is dropped, the channel closes, and the items
/// that it could receive are dropped; see [Closing](super) for what stays.
///
/// `C` is an end of the ring, `L` leads to the [`ChannelWaiters`](super::ChannelWaiters).
pub struct Receiver<C: Consumer, L: Deref<Target: Sides>> {
    consumer: ManuallyDrop<C>,
    waiter: Waiter<<L::Target as Sides>::Receivers>,
    waiters: L,
}

impl<C: Consumer, L: Deref<Target: Sides>> Receiver<C, L> {
    /// A receiver of a channel of your own: an end of a ring, and the waiters that the senders
    /// share. `None` if all places of receivers are taken.
    pub fn new(consumer: C, waiters: L) -> Option<Receiver<C, L>> {
        let waiter = Waiter::join(waiters.receivers())?;
        Some(Receiver { consumer: ManuallyDrop::new(consumer), waiter, waiters })
    }

    /// Another receiver, or `None` if the channel allows no further one.
    #[must_use]
    pub fn try_clone(&self) -> Option<Receiver<C, L>>
    where
        C: Clone,
        L: Clone,
    {
        let mut other = Receiver::new(C::clone(&self.consumer), self.waiters.clone())?;
        other.waiter.set_strategy(self.waiter.strategy());
        Some(other)
    }

    /// How this end waits for items from now on; at first it is [`WaitStrategy::Park`].
    pub fn set_wait_strategy(&mut self, strategy: WaitStrategy) {
        self.waiter.set_strategy(strategy);
    }

    /// Takes the next item if there is one now.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn try_recv(&mut self) -> Result<C::Item, PopError> {
        let taken = self.consumer.try_pop();
        if taken.is_ok() || self.may_have_skipped() {
            notify(&mut *self.consumer, &self.waiters);
        }
        taken
    }

    /// Takes the next item, after there is one; `None` when all items were taken and the senders
    /// are gone.
    ///
    /// A future that is dropped before it completes took nothing.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Option<C::Item>> {
        Waiting::new(self, Self::poll_recv)
    }

    /// Waits for an item, gives it and those behind it, up to `most`, to `buffer`, and returns how
    /// many; 0 when all items were taken and the senders are gone. Senders are notified once. A
    /// `Vec` is a buffer, and so is one of `heapless` if it has room for `most`.
    ///
    /// A future that is dropped before it completes took nothing.
    #[inline]
    pub fn recv_many<'a, E: Extend<C::Item>>(
        &'a mut self,
        buffer: &'a mut E,
        most: usize,
    ) -> impl Future<Output = usize> {
        Waiting::new(self, move |receiver: &mut Self, context| {
            receiver.poll_recv_many(context, buffer, most)
        })
    }

    /// How many items the channel has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.consumer.capacity()
    }

    /// How many items wait in the channel, as far as this end can see. In a channel with several
    /// senders, slots that are reserved or were aborted count until a receiver has skipped them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.consumer.len()
    }

    /// Whether nothing waits in the channel, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// Refuses all sends that begin after this, by all senders. Items that were sent before can
    /// still be received, by all receivers. With several senders, [`recv`](Receiver::recv) returns
    /// `None` after it.
    pub fn refuse_sends(&mut self) {
        self.consumer.refuse_pushes();
        self.waiters.senders().notify_all();
    }

    /// Ends receiving by this end, as dropping it does. When all receivers are gone, senders get
    /// their items back.
    pub fn close(self) {}

    /// The same as [`recv`](Receiver::recv), for your own futures.
    #[inline]
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<C::Item>> {
        let consumer = &mut *self.consumer;
        let taken = self.waiter.poll(self.waiters.receivers(), context.waker(), |is_last| {
            if is_last {
                consumer.force_check();
            }
            match consumer.try_pop() {
                Ok(item) => Some(Some(item)),
                Err(PopError::Closed) => Some(None),
                Err(PopError::Empty) => None,
            }
        });
        self.end_poll(taken)
    }

    /// The same as [`recv_many`](Receiver::recv_many), for your own futures.
    #[inline]
    pub fn poll_recv_many(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut impl Extend<C::Item>,
        most: usize,
    ) -> Poll<usize> {
        if most == 0 {
            return Poll::Ready(0);
        }
        let on_panic = NotifyOnPanic { consumer: &mut *self.consumer, waiters: &self.waiters };
        let taken = self.waiter.poll(self.waiters.receivers(), context.waker(), |is_last| {
            if is_last {
                on_panic.consumer.force_check();
            }
            match on_panic.consumer.pop_many(most, |item| buffer.extend(Some(item))) {
                Ok(count) => Some(Some(count)),
                Err(PopError::Closed) => Some(None),
                Err(PopError::Empty) => None,
            }
        });
        core::mem::forget(on_panic);
        self.end_poll(taken).map(|count| count.unwrap_or(0))
    }

    /// Whether a check that found no item may have made room: it skips aborted slots.
    #[inline]
    fn may_have_skipped(&self) -> bool {
        self.waiters.senders().may_have_aborted()
    }

    /// Ends a poll, which took items, found the end, or found nothing.
    #[inline]
    fn end_poll<R>(&mut self, taken: Poll<Option<R>>) -> Poll<Option<R>> {
        if matches!(taken, Poll::Ready(Some(_))) || self.may_have_skipped() {
            notify(&mut *self.consumer, &self.waiters);
        }
        let taken = ready!(taken);
        let consumer = &*self.consumer;
        self.waiter.succeeded(self.waiters.receivers(), || !consumer.is_empty());
        Poll::Ready(taken)
    }
}

impl<C: Consumer, L: Deref<Target: Sides>> End for Receiver<C, L> {
    #[inline]
    fn cancel_wait(&mut self) {
        self.waiter.cancelled(self.waiters.receivers());
    }
}

/// The items, until all were taken and the senders are gone.
///
/// A stream has no future that could be dropped: a stream that is not polled any more keeps a wake
/// that it received until it is polled or dropped. Where several receivers share a channel, prefer
/// [`Receiver::recv`].
#[cfg(feature = "futures")]
impl<C: Consumer, L: Deref<Target: Sides>> futures_core::Stream for Receiver<C, L> {
    type Item = C::Item;

    #[inline]
    fn poll_next(
        self: core::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<C::Item>> {
        self.get_mut().poll_recv(context)
    }
}

/// An end is moved, never pinned.
#[cfg(feature = "futures")]
impl<C: Consumer, L: Deref<Target: Sides>> Unpin for Receiver<C, L> {}

/// Wakes a sender, because there is room.
#[inline]
fn notify(consumer: &mut impl Consumer, waiters: &impl Deref<Target: Sides>) {
    consumer.flush();
    waiters.senders().notify_one();
}

/// Notifies senders even if a buffer panics: the items that it was given have left the channel, and
/// senders must not wait for their room.
struct NotifyOnPanic<'a, C: Consumer, L: Deref<Target: Sides>> {
    consumer: &'a mut C,
    waiters: &'a L,
}

impl<C: Consumer, L: Deref<Target: Sides>> Drop for NotifyOnPanic<'_, C, L> {
    fn drop(&mut self) {
        notify(self.consumer, self.waiters);
    }
}

impl<C: Consumer, L: Deref<Target: Sides>> Drop for Receiver<C, L> {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not used again.
        let consumer = unsafe { ManuallyDrop::take(&mut self.consumer) };
        self.waiter.unregister(self.waiters.receivers());
        if self.waiters.receivers().leave() {
            close_and_empty(consumer, &self.waiters);
        }
    }
}

/// Drops the items in the channel: a sender may wait for an answer to one, and must not wait until
/// the channel is dropped.
///
/// The channel is closed first, so that no item follows the dropped ones. Items that were being
/// sent at that moment stay until the channel is dropped.
fn close_and_empty<C: Consumer, L: Deref<Target: Sides>>(mut consumer: C, waiters: &L) {
    /// Wakes the senders even if the drop of an item panics; and items are dropped even if a waker
    /// panics.
    struct NotifyOnDrop<'a, L: Deref<Target: Sides>>(&'a L);

    impl<L: Deref<Target: Sides>> Drop for NotifyOnDrop<'_, L> {
        fn drop(&mut self) {
            self.0.senders().notify_all();
        }
    }

    let _notify = NotifyOnDrop(waiters);
    consumer.discard();
}

// Written by hand, because nothing inside need be `Debug`.
impl<C: Consumer, L: Deref<Target: Sides>> fmt::Debug for Receiver<C, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} of {})", self.len(), self.capacity())
    }
}
