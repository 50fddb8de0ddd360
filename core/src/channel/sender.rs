//! The sending end of a channel: its futures, and slots that are held for an item, so that the send
//! itself is immediate.

#![allow(unsafe_code)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use super::SendError;
use super::waiters::{End, Sides, Waiter, Waiting};
use crate::ring::{GrantError, Handle, Producer, PushError, spsc};
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

    fn poll_reserve(
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
        // The slot borrows the producer, so this cannot check for more room. It lets another sender
        // check instead.
        self.waiter.succeeded(senders, || true);
        Poll::Ready(slot.map(|slot| Permit::new(slot, &self.waiters)))
    }

    fn poll_send_many(
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

        /// Wakes a receiver for the sent items, even if the iterator panics later.
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
        // Limits one poll, because otherwise, with a receiver that keeps pace, this task would
        // never yield.
        let most = before.saturating_add(producer.capacity());
        let stop = self.waiter.poll(self.waiters.senders(), context.waker(), |_| {
            loop {
                if items.size_hint().1 == Some(0) {
                    return Some(Stop::Done);
                }
                if *notify.sent == most {
                    return Some(Stop::Enough);
                }
                // Holds the slot in a permit, whose drop aborts the slot correctly if the iterator
                // ends or panics.
                let permit = match producer.reserve_slot() {
                    Ok(slot) => Permit::<P, L>::new(slot, notify.waiters),
                    Err(GrantError::Closed) => return Some(Stop::Closed),
                    Err(_) => return None,
                };
                // Takes an item only now, so that an item without a slot stays with the caller.
                let Some(item) = items.next() else { return Some(Stop::Done) };
                permit.fill(item);
                *notify.sent += 1;
            }
        });
        // Wakes receivers even if the wait continues, because they must make the room.
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
}

impl<P: Producer, L: Deref<Target: Sides>> End for Sender<P, L> {
    #[inline]
    fn cancel_wait(&mut self) {
        self.waiter.cancelled(self.waiters.senders());
    }
}

impl<P: Producer, L: Deref<Target: Sides>> Drop for Sender<P, L> {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not used again.
        let producer = unsafe { ManuallyDrop::take(&mut self.producer) };
        // Unregisters first, so that a waker that panics below leaves no registration behind.
        self.waiter.unregister(self.waiters.senders());
        if self.waiters.senders().leave() {
            producer.close();
            self.waiters.receivers().notify_all();
        }
    }
}

// Written by hand, because nothing inside need be `Debug`.
impl<P: Producer, L: Deref<Target: Sides>> fmt::Debug for Sender<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} of {})", self.len(), self.capacity())
    }
}

impl<P: Producer, L: Deref<Target: Sides>> Sender<P, L> {
    /// Sends an item, after there is room for it.
    ///
    /// A future that is dropped before it completes did not send; the item is dropped with it. To
    /// keep the item, wait by [`reserve`](Sender::reserve) first.
    ///
    /// # Errors
    /// [`SendError`] with the item, if the receivers are gone.
    #[inline]
    pub fn send(&mut self, item: P::Item) -> impl Future<Output = Result<(), SendError<P::Item>>> {
        let mut item = Some(item);
        Waiting::new(self, move |sender: &mut Self, context| sender.poll_send(context, &mut item))
    }

    /// Sends the items of an iterator, waits for room when the channel is full, and returns how
    /// many items there were. Receivers are notified once for each time that room was found.
    ///
    /// An item is taken from the iterator only when it has a slot. So when the future is dropped,
    /// or after an error, the items that the iterator still holds were not sent, and all others
    /// were.
    ///
    /// # Errors
    /// [`SendError`] with how many were sent, if the receivers are gone.
    #[inline]
    pub fn send_many<'a, I: Iterator<Item = P::Item>>(
        &'a mut self,
        items: &'a mut I,
    ) -> impl Future<Output = Result<usize, SendError<usize>>>
    where
        P: Reserve,
    {
        let mut sent = 0;
        Waiting::new(self, move |sender: &mut Self, context| {
            sender.poll_send_many(context, items, &mut sent)
        })
    }

    /// Waits for room and holds a slot, so that the send itself is immediate and cannot fail.
    ///
    /// A future that is dropped holds nothing. Dropping the permit gives the slot back.
    ///
    /// # Errors
    /// [`SendError`] if the receivers are gone.
    #[inline]
    pub fn reserve(&mut self) -> Reserving<'_, P, L>
    where
        P: Reserve,
    {
        Reserving { sender: Some(self) }
    }
}

/// See [`Sender::reserve`].
#[must_use = "futures do nothing unless awaited"]
pub struct Reserving<'a, P: Reserve, L: Deref<Target: Sides>> {
    sender: Option<&'a mut Sender<P, L>>,
}

impl<'a, P: Reserve, L: Deref<Target: Sides>> Future for Reserving<'a, P, L> {
    type Output = Result<Permit<'a, P, L>, SendError<()>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(sender) = self.sender.take() else { return Poll::Pending };
        let sender: *mut Sender<P, L> = sender;
        // SAFETY: the sender is borrowed as long as the permit lives, and only by this future,
        // which gives the borrow away when it returns a permit. The compiler does not see that the
        // borrow can be kept while no permit exists.
        if let Poll::Ready(permit) = unsafe { &mut *sender }.poll_reserve(context) {
            return Poll::Ready(permit);
        }
        // SAFETY: as above; no permit exists.
        self.sender = Some(unsafe { &mut *sender });
        Poll::Pending
    }
}

impl<P: Reserve, L: Deref<Target: Sides>> Drop for Reserving<'_, P, L> {
    fn drop(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.cancel_wait();
        }
    }
}

impl<P: Reserve, L: Deref<Target: Sides>> fmt::Debug for Reserving<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reserving")
    }
}

/// A writer's end that can hold a slot for an item, and knows whether there may be other writers.
/// All rings for items have such ends.
pub trait Reserve: Producer + Sized {
    /// Whether readers must skip an aborted slot before it is free again and the items behind it
    /// are visible.
    const SKIPS: bool;

    /// A slot that is held for an item. Dropping it aborts: the slot is free again.
    type Slot<'a>
    where
        Self: 'a;

    /// Holds a slot.
    ///
    /// # Errors
    /// [`GrantError`] if the ring is full or the readers are gone.
    fn reserve_slot(&mut self) -> Result<Self::Slot<'_>, GrantError>;

    /// Puts an item into a slot that is held, and shows it to readers.
    fn fill_slot(slot: Self::Slot<'_>, item: Self::Item);

    /// Returns another end of the same ring, or `None` if the ring has only one such end.
    fn try_clone(&self) -> Option<Self>;
}

impl<H: Handle<Target: spsc::Ring>> Reserve for spsc::Producer<H> {
    const SKIPS: bool = false;

    type Slot<'a>
        = spsc::Grant<'a, H>
    where
        Self: 'a;

    #[inline]
    fn reserve_slot(&mut self) -> Result<spsc::Grant<'_, H>, GrantError> {
        self.grant(1)
    }

    #[inline]
    fn fill_slot(mut slot: spsc::Grant<'_, H>, item: Self::Item) {
        // Cannot fail, because the grant has room for one item.
        _ = slot.push(item);
        slot.commit();
    }

    fn try_clone(&self) -> Option<Self> {
        None
    }
}

/// A slot for one item, held by [`Sender::reserve`]. Dropping it gives the slot back: at once in a
/// channel with one sender, otherwise as soon as a receiver skips it.
///
/// In a channel with several senders, items that were sent after the slot was taken lie behind it:
/// receivers get them once this permit is used or dropped. So do not wait for anything while you
/// hold a permit. To forget a permit (`mem::forget`) stops such a channel for ever.
pub struct Permit<'a, P: Reserve + 'a, L: Deref<Target: Sides>> {
    slot: Option<P::Slot<'a>>,
    waiters: &'a L,
}

impl<'a, P: Reserve, L: Deref<Target: Sides>> Permit<'a, P, L> {
    fn new(slot: P::Slot<'a>, waiters: &'a L) -> Permit<'a, P, L> {
        Permit { slot: Some(slot), waiters }
    }

    /// Sends the item, now. If the receivers went after the permit was given, the item is dropped
    /// with the channel.
    #[inline]
    pub fn send(self, item: P::Item) {
        let waiters = self.waiters;
        self.fill(item);
        waiters.receivers().notify_one();
    }

    /// Sends without a notification: the caller notifies the receivers.
    #[inline]
    fn fill(mut self, item: P::Item) {
        if let Some(slot) = self.slot.take() {
            P::fill_slot(slot, item);
        }
    }
}

impl<P: Reserve, L: Deref<Target: Sides>> Drop for Permit<'_, P, L> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        if P::SKIPS {
            self.waiters.senders().set_may_abort();
        }
        drop(slot);
        // Wakes a receiver for the items behind the slot, which can be read from now on.
        if P::SKIPS {
            self.waiters.receivers().notify_one();
        }
    }
}

// Written by hand, because nothing inside need be `Debug`.
impl<P: Reserve, L: Deref<Target: Sides>> fmt::Debug for Permit<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}
