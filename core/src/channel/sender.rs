//! The sending end of a channel: its futures, and permits, which reserve a slot so that the send
//! itself is immediate.

#![allow(unsafe_code)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::pin::Pin;
#[cfg(feature = "alloc")]
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};

use super::SendError;
use super::waiters::{End, Sides, Waiter, Waiting};
use crate::ring::{GrantError, Handle, Producer, PushError, spsc};
use crate::wait::WaitStrategy;

/// The sending end of a channel. When the last one is dropped, the channel closes.
///
/// `P` is a producer of the ring; `L` points to the [`ChannelWaiters`](super::ChannelWaiters).
pub struct Sender<P: Producer, L: Deref<Target: Sides>> {
    pub(super) producer: ManuallyDrop<P>,
    waiter: Waiter<<L::Target as Sides>::Senders>,
    pub(super) waiters: L,
}

impl<P: Producer, L: Deref<Target: Sides>> Sender<P, L> {
    /// Creates a sender of your own channel from a producer and the waiters that the receivers
    /// share. Returns `None` if all places of senders are taken.
    pub fn new(producer: P, waiters: L) -> Option<Sender<P, L>> {
        let waiter = Waiter::join(waiters.senders())?;
        Some(Sender { producer: ManuallyDrop::new(producer), waiter, waiters })
    }

    /// Returns another sender, or `None` if the channel allows no further one.
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

    /// Sets how this end waits for room from now on. The default is [`WaitStrategy::Park`].
    pub fn set_wait_strategy(&mut self, strategy: WaitStrategy) {
        self.waiter.set_strategy(strategy);
    }

    /// Sends an item if there is room now. The last free slot is kept for a sender that waits and
    /// was overtaken, if there is one.
    ///
    /// # Errors
    /// [`PushError`] with the item, if the ring is full or the receivers are gone.
    #[inline]
    pub fn try_send(&mut self, item: P::Item) -> Result<(), PushError<P::Item>> {
        self.try_push(item)?;
        self.notify();
        Ok(())
    }

    /// Returns whether the receivers are gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.producer.is_closed()
    }

    /// Returns how many slots the channel has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.producer.capacity()
    }

    /// Returns how many items are in the channel, as far as this end can see. In a channel with
    /// several senders, reserved and aborted slots count until a receiver has skipped them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producer.len()
    }

    /// Returns whether the channel is empty, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producer.is_empty()
    }

    /// Drops this end. When all senders are gone, receivers get the remaining items and then the
    /// end.
    pub fn close(self) {}

    /// Wakes a receiver for the pushed items.
    #[inline]
    pub(super) fn notify(&self) {
        self.waiters.receivers().notify_one();
    }

    /// Pushes an item, and leaves the last slot to a sender that comes first.
    #[inline]
    pub(super) fn try_push(&mut self, item: P::Item) -> Result<(), PushError<P::Item>> {
        push(&mut *self.producer, self.waiter.must_yield(self.waiters.senders()), item)
    }

    /// Polls as [`send`](Sender::send) does, for your own futures. Takes the item out of the option
    /// once it is sent; an error returns the item.
    #[inline]
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        item: &mut Option<P::Item>,
    ) -> Poll<Result<(), SendError<P::Item>>> {
        let (producer, senders) = (&mut *self.producer, self.waiters.senders());
        let sent = self.waiter.poll(senders, context.waker(), |key, _| {
            match push(producer, senders.must_yield(key), item.take()?) {
                Ok(()) => Some(Ok(())),
                Err(PushError::Closed(back)) => Some(Err(SendError(back))),
                Err(PushError::Full(back)) => {
                    *item = Some(back);
                    None
                }
            }
        });
        if matches!(sent, Poll::Ready(Ok(()))) {
            self.notify();
        }
        self.end_poll(sent)
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
        let slot = self.waiter.poll(senders, context.waker(), |key, _| {
            // SAFETY: the producer is borrowed as long as the permit lives, and by each check in
            // turn: no check follows one that got a slot.
            match reserve(unsafe { &mut *producer }, senders.must_yield(key)) {
                Ok(slot) => Some(Ok(slot)),
                Err(GrantError::Closed) => Some(Err(SendError(()))),
                Err(_) => None,
            }
        });
        let Poll::Ready(slot) = slot else { return self.end_poll(Poll::Pending) };
        // The slot borrows the producer, so this end cannot check for more room. It wakes another
        // sender to check instead.
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

        /// Wakes a receiver for the sent items when it is dropped, even if the iterator panics.
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
        let (producer, senders) = (&mut *self.producer, self.waiters.senders());
        // Limits one poll: with a receiver that keeps pace, this task would otherwise never yield.
        let most = before.saturating_add(producer.capacity());
        let stop = self.waiter.poll(senders, context.waker(), |key, _| {
            loop {
                if items.size_hint().1 == Some(0) {
                    return Some(Stop::Done);
                }
                if *notify.sent == most {
                    return Some(Stop::Enough);
                }
                // Holds the slot in a permit, whose drop aborts the slot correctly if the iterator
                // ends or panics.
                let permit = match reserve(producer, senders.must_yield(key)) {
                    Ok(slot) => Permit::<P, L>::new(slot, notify.waiters),
                    Err(GrantError::Closed) => return Some(Stop::Closed),
                    Err(_) => return None,
                };
                // Takes an item only after there is a slot, so that an item without a slot stays
                // with the caller.
                let Some(item) = items.next() else { return Some(Stop::Done) };
                permit.fill(item);
                *notify.sent += 1;
            }
        });
        // Wakes receivers even if this sender waits on, because they must make the room.
        drop(notify);
        match ready!(self.end_poll(stop)) {
            Stop::Done => Poll::Ready(Ok(*sent)),
            Stop::Closed => Poll::Ready(Err(SendError(*sent))),
            Stop::Enough => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Ends the wait unless the poll is pending.
    #[inline]
    fn end_poll<R>(&mut self, polled: Poll<R>) -> Poll<R> {
        let (producer, senders) = (&mut *self.producer, self.waiters.senders());
        if polled.is_ready() {
            self.waiter.succeeded(senders, || !producer.is_full());
        } else {
            self.waiter.yielded(senders, || !producer.is_full());
        }
        polled
    }
}

/// Pushes an item; if this sender `yields`, only if one more slot is free.
#[inline]
fn push<P: Producer>(
    producer: &mut P,
    yields: bool,
    item: P::Item,
) -> Result<(), PushError<P::Item>> {
    if yields { producer.try_push_leaving_one(item) } else { producer.try_push(item) }
}

/// Reserves a slot; if this sender `yields`, only if one more slot is free.
#[inline]
fn reserve<P: Reserve>(producer: &mut P, yields: bool) -> Result<P::Slot<'_>, GrantError> {
    if yields { producer.reserve_leaving_one() } else { producer.reserve_slot() }
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
        // Unregisters first, so that the registration is gone even if a waker panics below.
        self.waiter.unregister(self.waiters.senders());
        if self.waiters.senders().leave() {
            producer.close();
            self.waiters.receivers().notify_all();
        }
    }
}

/// The pointer of a producer or a consumer to a ring that its sender or receiver owns by an `Arc`,
/// so that an end is counted once there.
#[cfg(feature = "alloc")]
#[doc(hidden)]
#[derive(Debug)]
pub struct Inside<R>(NonNull<R>);

#[cfg(feature = "alloc")]
impl<R> Inside<R> {
    /// The pointer is for ends that own `ring`.
    pub(super) fn of(ring: &alloc::sync::Arc<R>) -> Inside<R> {
        Inside(NonNull::from(&**ring))
    }
}

#[cfg(feature = "alloc")]
impl<R> Deref for Inside<R> {
    type Target = R;

    #[inline]
    fn deref(&self) -> &R {
        // SAFETY: `of` and `clone` make such pointers for producers and consumers in a sender or
        // receiver with the `Arc` in `waiters`. It gives them to nobody, and its `drop` drops them,
        // before the `Arc`.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: what is in an `Arc` does not move.
#[cfg(feature = "alloc")]
unsafe impl<R> Handle for Inside<R> {}

// SAFETY: used as `&R` is.
#[cfg(feature = "alloc")]
unsafe impl<R: Sync> Send for Inside<R> {}
// SAFETY: as above.
#[cfg(feature = "alloc")]
unsafe impl<R: Sync> Sync for Inside<R> {}

// Written by hand, because a ring need not be `Clone`.
#[cfg(feature = "alloc")]
impl<R> Clone for Inside<R> {
    fn clone(&self) -> Inside<R> {
        Inside(self.0)
    }
}

// Written by hand, because nothing inside need be `Debug`.
impl<P: Producer, L: Deref<Target: Sides>> fmt::Debug for Sender<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} of {})", self.len(), self.capacity())
    }
}

impl<P: Producer, L: Deref<Target: Sides>> Sender<P, L> {
    /// Waits for room and sends an item.
    ///
    /// If the future is dropped before it completes, nothing is sent and the item is dropped. To
    /// keep the item, call [`reserve`](Sender::reserve) first.
    ///
    /// # Errors
    /// [`SendError`] with the item, if the receivers are gone.
    #[inline]
    pub fn send(&mut self, item: P::Item) -> impl Future<Output = Result<(), SendError<P::Item>>> {
        let mut item = Some(item);
        Waiting::new(self, move |sender: &mut Self, context| sender.poll_send(context, &mut item))
    }

    /// Sends all items of an iterator, waiting for room when the channel is full. Returns how many
    /// it sent. Receivers are notified once for each time that it found room.
    ///
    /// An item is taken from the iterator only when it has a slot. So after an error, or when the
    /// future is dropped, the iterator still has exactly the items that were not sent.
    ///
    /// # Errors
    /// [`SendError`] with the number of sent items, if the receivers are gone.
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

    /// Waits for room and reserves a slot, so that the send itself is immediate and cannot fail.
    ///
    /// A dropped future reserves nothing. Dropping the permit returns the slot.
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

/// The future of [`Sender::reserve`].
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

/// A producer that can reserve a slot for an item. All rings for items have such producers.
pub trait Reserve: Producer + Sized {
    /// Whether consumers must skip an aborted slot before it is free again and the items behind it
    /// are visible.
    const SKIPS: bool;

    /// A reserved slot. Dropping it aborts: the slot is free again.
    type Slot<'a>
    where
        Self: 'a;

    /// Reserves a slot.
    ///
    /// # Errors
    /// [`GrantError`] if the ring is full or the consumers are gone.
    fn reserve_slot(&mut self) -> Result<Self::Slot<'_>, GrantError>;

    /// Reserves a slot if this leaves a free slot for another producer. With one producer this is
    /// [`reserve_slot`](Reserve::reserve_slot).
    ///
    /// # Errors
    /// [`GrantError`] if there are fewer free slots, or the consumers are gone.
    fn reserve_leaving_one(&mut self) -> Result<Self::Slot<'_>, GrantError> {
        self.reserve_slot()
    }

    /// Writes an item into a reserved slot and commits it.
    fn fill_slot(slot: Self::Slot<'_>, item: Self::Item);

    /// Returns another producer of the same ring, or `None` if the ring has only one.
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

/// A slot for one item, from [`Sender::reserve`]. Dropping it returns the slot: at once in a
/// channel with one sender, otherwise when a receiver skips it.
///
/// In a channel with several senders, receivers get items behind this slot only after the permit is
/// used or dropped. So do not wait for anything while you hold a permit. Forgetting it
/// (`mem::forget`) blocks such a channel for ever.
pub struct Permit<'a, P: Reserve + 'a, L: Deref<Target: Sides>> {
    slot: Option<P::Slot<'a>>,
    waiters: &'a L,
}

impl<'a, P: Reserve, L: Deref<Target: Sides>> Permit<'a, P, L> {
    fn new(slot: P::Slot<'a>, waiters: &'a L) -> Permit<'a, P, L> {
        Permit { slot: Some(slot), waiters }
    }

    /// Sends the item, without waiting. If the receivers have gone since the permit was given, the
    /// item is dropped with the channel.
    #[inline]
    pub fn send(self, item: P::Item) {
        let waiters = self.waiters;
        self.fill(item);
        waiters.receivers().notify_one();
    }

    /// Sends the item; the caller notifies the receivers.
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
