//! The receiving end of a channel.

#![allow(unsafe_code)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::task::{Context, Poll, ready};

use super::waiters::{End, Sides, Waiter, Waiting};
use crate::ring::{Consumer, PopError};
use crate::wait::WaitStrategy;

/// The receiving end of a channel. Dropping the last one closes the channel and drops the items in
/// it; see [Closing](super) for the exceptions.
///
/// `C` is a consumer of the ring; `L` points to the [`ChannelWaiters`](super::ChannelWaiters).
pub struct Receiver<C: Consumer, L: Deref<Target: Sides>> {
    consumer: ManuallyDrop<C>,
    waiter: Waiter<<L::Target as Sides>::Receivers>,
    /// Whether no sender sleeps or ever will, because the channel is closed.
    is_closed: bool,
    waiters: L,
}

impl<C: Consumer, L: Deref<Target: Sides>> Receiver<C, L> {
    /// Creates a receiver of your own channel from a consumer and the waiters that the senders
    /// share. Returns `None` if all places of receivers are taken.
    pub fn new(consumer: C, waiters: L) -> Option<Receiver<C, L>> {
        let waiter = Waiter::join(waiters.receivers())?;
        let consumer = ManuallyDrop::new(consumer);
        Some(Receiver { consumer, waiter, is_closed: false, waiters })
    }

    /// Returns another receiver, or `None` if the channel allows no further one.
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

    /// Sets how this end waits for items from now on. The default is [`WaitStrategy::Park`].
    pub fn set_wait_strategy(&mut self, strategy: WaitStrategy) {
        self.waiter.set_strategy(strategy);
    }

    /// Takes the next item if there is one now.
    ///
    /// # Errors
    /// [`PopError`] if the channel is empty, or has ended.
    #[inline]
    pub fn try_recv(&mut self) -> Result<C::Item, PopError> {
        let taken = self.consumer.try_pop();
        if let Err(PopError::Closed) = taken {
            self.is_closed = true;
        }
        if taken.is_ok() || self.may_have_skipped() {
            notify(&mut *self.consumer, &self.waiters);
        }
        taken
    }

    /// Waits for the next item and takes it; returns `None` when all items were taken and the
    /// senders are gone.
    ///
    /// If the future is dropped before it completes, nothing is taken.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Option<C::Item>> {
        Waiting::new(self, Self::poll_recv)
    }

    /// Waits for an item, then moves it and those behind it, up to `most`, into `buffer`. Returns
    /// how many it moved; 0 when all items were taken and the senders are gone. Senders are
    /// notified once. `buffer` may be a `Vec`, or one of `heapless` with room for `most`.
    ///
    /// If the future is dropped before it completes, nothing is taken.
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

    /// Returns how many slots the channel has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.consumer.capacity()
    }

    /// Returns how many items are in the channel, as far as this end can see. In a channel with
    /// several senders, reserved and aborted slots count until a receiver has skipped them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.consumer.len()
    }

    /// Returns whether the channel is empty, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// Refuses all sends that begin after this call, by all senders. All receivers can still
    /// receive the earlier items. With several senders, [`recv`](Receiver::recv) then returns
    /// `None` after the last item.
    pub fn refuse_sends(&mut self) {
        self.consumer.refuse_pushes();
        self.waiters.senders().notify_all();
        self.is_closed = true;
    }

    /// Drops this end. When all receivers are gone, senders get their items back.
    pub fn close(self) {}

    /// Polls as [`recv`](Receiver::recv) does, for your own futures.
    #[inline]
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<C::Item>> {
        let consumer = &mut *self.consumer;
        let taken = self.waiter.poll(self.waiters.receivers(), context.waker(), |_, is_last| {
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

    /// Polls as [`recv_many`](Receiver::recv_many) does, for your own futures.
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
        let taken = self.waiter.poll(self.waiters.receivers(), context.waker(), |_, is_last| {
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

    /// Returns whether a check that found no item may have made room, because it skips aborted
    /// slots.
    #[inline]
    fn may_have_skipped(&self) -> bool {
        self.waiters.senders().may_have_aborted()
    }

    /// Ends the wait unless the poll is pending, and notifies senders if there may be room.
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

/// Yields the items until all were taken and the senders are gone.
///
/// A stream that is no longer polled keeps a wake that it has received until it is dropped, because
/// it has no future to drop. Where several receivers share a channel, prefer [`Receiver::recv`].
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

/// The fields are moved, never pinned.
#[cfg(feature = "futures")]
impl<C: Consumer, L: Deref<Target: Sides>> Unpin for Receiver<C, L> {}

/// Wakes a sender if there is room.
#[inline]
fn notify(consumer: &mut impl Consumer, waiters: &impl Deref<Target: Sides>) {
    consumer.flush();
    waiters.senders().notify_one();
}

/// Notifies senders when it is dropped, even if a buffer panics: the items that the buffer got have
/// left the channel, so senders must not wait for that room.
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
            close_and_empty(consumer, &self.waiters, self.is_closed);
        }
    }
}

/// Drops the items in the channel now, not with the channel: a sender may wait for an answer to an
/// item.
///
/// Closes the channel first, so that no item follows the dropped ones. Items of sends that run at
/// that moment stay until the channel is dropped.
fn close_and_empty<C: Consumer, L: Deref<Target: Sides>>(
    mut consumer: C,
    waiters: &L,
    is_closed: bool,
) {
    /// Wakes the senders when it is dropped, even if the drop of an item panics. Items are dropped
    /// even if a waker panics.
    struct NotifyOnDrop<'a, L: Deref<Target: Sides>>(&'a L);

    impl<L: Deref<Target: Sides>> Drop for NotifyOnDrop<'_, L> {
        fn drop(&mut self) {
            self.0.senders().notify_all();
        }
    }

    let _notify = (!is_closed).then(|| NotifyOnDrop(waiters));
    consumer.discard();
}

// Written by hand, because nothing inside need be `Debug`.
impl<C: Consumer, L: Deref<Target: Sides>> fmt::Debug for Receiver<C, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} of {})", self.len(), self.capacity())
    }
}
