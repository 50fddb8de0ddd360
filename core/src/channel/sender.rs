//! The end of a channel that items go into.

#![allow(unsafe_code)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

#[cfg(feature = "alloc")]
use super::Lobby;
use super::place::Place;
use super::reserve::{Permit, Reserve, Reserving};
use super::{SendError, Sides};
#[cfg(feature = "alloc")]
use crate::doorbell::Growing;
use crate::doorbell::{Bells, announce};
use crate::ring::{GrantError, Producer, PushError};
use crate::wait::Wait;

/// The end of a channel that items go into. When the last one is dropped, the channel closes.
///
/// `P` is an end of the ring, `L` leads to the [lobby](super::Lobby).
pub struct Sender<P: Producer, L: Deref<Target: Sides>> {
    producer: ManuallyDrop<P>,
    place: Place<<L::Target as Sides>::Room>,
    lobby: L,
}

/// Tells a receiver that there is something, after it was shown.
#[inline]
pub(super) fn tell(lobby: &impl Deref<Target: Sides>) {
    lobby.items().bells.announce_and_ring();
}

impl<P: Producer, L: Deref<Target: Sides>> Sender<P, L> {
    /// A sender of a channel that may be made by anybody: out of an end of a ring and a lobby that the receivers share.
    /// `None` if all seats of the lobby are taken.
    pub fn new(producer: P, lobby: L) -> Option<Sender<P, L>> {
        let room = lobby.room();
        let place = Place::new(room.bells.take_seat()?, Wait::Park);
        room.join();
        Some(Sender { producer: ManuallyDrop::new(producer), place, lobby })
    }

    /// One more sender, or `None` if the channel has room for no more.
    #[must_use]
    pub fn try_clone(&self) -> Option<Sender<P, L>>
    where
        P: Reserve,
        L: Clone,
    {
        let mut other = Sender::new(self.producer.another()?, self.lobby.clone())?;
        other.place.set_wait_strategy(self.place.wait());
        Some(other)
    }

    /// How this end waits for room from now on; at first it is [`Wait::Park`].
    pub fn set_wait_strategy(&mut self, wait: Wait) {
        self.place.set_wait_strategy(wait);
    }

    /// Sends an item if there is room now.
    ///
    /// # Errors
    /// [`PushError`] with the item, if there is no room or the receivers are gone.
    #[inline]
    pub fn try_send(&mut self, item: P::Item) -> Result<(), PushError<P::Item>> {
        self.producer.try_push(item)?;
        tell(&self.lobby);
        Ok(())
    }

    /// Sends an item, after there is room for it.
    ///
    /// Dropping the future before it completes means: not sent; the item is dropped with it. Who needs it back waits by
    /// [`reserve`](Sender::reserve) first.
    ///
    /// # Errors
    /// [`SendError`] with the item, if the receivers are gone.
    #[inline]
    pub fn send(&mut self, item: P::Item) -> Sending<'_, P, L> {
        Sending { sender: self, item: Some(item) }
    }

    /// Sends what the iterator gives, waiting for room as often as needed, and returns how many there were. Receivers are
    /// told once for as much as there is room for.
    ///
    /// An item is taken from the iterator only when it has a slot: whatever the iterator still holds when the future is
    /// dropped, or after an error, was not sent, and nothing else was not.
    ///
    /// # Errors
    /// [`SendError`] with how many were sent, if the receivers are gone.
    #[inline]
    pub fn send_many<'a, I: Iterator<Item = P::Item>>(
        &'a mut self,
        items: &'a mut I,
    ) -> SendingMany<'a, P, L, I>
    where
        P: Reserve,
    {
        SendingMany { sender: self, items, sent: 0 }
    }

    /// Waits for room and holds a slot, so that the send itself is immediate and cannot fail.
    ///
    /// Dropping the future holds nothing. Dropping the permit gives the slot back.
    ///
    /// # Errors
    /// [`SendError`] if the receivers are gone.
    #[inline]
    pub fn reserve(&mut self) -> Reserving<'_, P, L>
    where
        P: Reserve,
    {
        Reserving::new(self)
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

    /// How many items wait in the channel, as far as this end can see. In a channel with several senders, slots that are
    /// held, or were given back, count until a receiver has passed them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producer.len()
    }

    /// Whether nothing waits in the channel, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producer.is_empty()
    }

    /// Says that this end sends no more, as dropping it does. When all senders are gone, receivers get what is left and
    /// then the end.
    pub fn close(self) {}

    /// Sends without telling the receivers: `tell` is still to come.
    #[cfg(feature = "futures")]
    pub(super) fn push(&mut self, item: P::Item) -> Result<(), PushError<P::Item>> {
        self.producer.try_push(item)
    }

    /// Tells the receivers what was pushed.
    #[cfg(feature = "futures")]
    pub(super) fn tell(&self) {
        tell(&self.lobby);
    }

    /// As [`send`](Sender::send), for who has futures of their own: takes the item once it was sent, or hands it back with
    /// the error.
    #[inline]
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        item: &mut Option<P::Item>,
    ) -> Poll<Result<(), SendError<P::Item>>> {
        let producer = &mut *self.producer;
        let sent = ready!(self.place.poll(&self.lobby.room().bells, context.waker(), |_| {
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
            tell(&self.lobby);
        }
        self.got_room();
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
        let bells = &self.lobby.room().bells;
        let vacant = ready!(self.place.poll(bells, context.waker(), |_| {
            // SAFETY: the producer is borrowed for as long as the permit lives, and by each look in turn: there is no
            // other once one has got a slot.
            match unsafe { &mut *producer }.vacant() {
                Ok(vacant) => Some(Ok(vacant)),
                Err(GrantError::Closed) => Some(Err(SendError(()))),
                Err(_) => None,
            }
        }));
        // The slot that was found is in use: whether there are more is not asked, another one may look.
        self.place.got(bells, || true);
        Poll::Ready(vacant.map(|vacant| Permit::new(vacant, &self.lobby)))
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

        /// Tells receivers what was sent, even if the iterator panics behind it.
        struct Tell<'a, L: Deref<Target: Sides>> {
            lobby: &'a L,
            before: usize,
            sent: &'a mut usize,
        }

        impl<L: Deref<Target: Sides>> Drop for Tell<'_, L> {
            #[inline]
            fn drop(&mut self) {
                if *self.sent != self.before {
                    tell(self.lobby);
                }
            }
        }

        let before = *sent;
        let told = Tell { lobby: &self.lobby, before, sent };
        let producer = &mut *self.producer;
        // No more than this in a poll: with a receiver that keeps pace this task would never yield.
        let most = before.saturating_add(producer.capacity());
        let stop = self.place.poll(&self.lobby.room().bells, context.waker(), |_| {
            loop {
                if items.size_hint().1 == Some(0) {
                    return Some(Stop::Done);
                }
                if *told.sent == most {
                    return Some(Stop::Enough);
                }
                // A permit, which gives the slot back as it must be, whatever the iterator does.
                let permit = match producer.vacant() {
                    Ok(vacant) => Permit::<P, L>::new(vacant, told.lobby),
                    Err(GrantError::Closed) => return Some(Stop::Closed),
                    Err(_) => return None,
                };
                // Only now: what has no slot stays with the caller.
                let Some(item) = items.next() else { return Some(Stop::Done) };
                permit.fill(item);
                *told.sent += 1;
            }
        });
        // Even if the wait goes on: receivers must make the room.
        drop(told);
        let stop = ready!(stop);
        self.got_room();
        match stop {
            Stop::Done => Poll::Ready(Ok(*sent)),
            Stop::Closed => Poll::Ready(Err(SendError(*sent))),
            Stop::Enough => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Ends a wait that was successful, or has no more sense.
    #[inline]
    fn got_room(&mut self) {
        let producer = &mut *self.producer;
        self.place.got(&self.lobby.room().bells, || !producer.is_full());
    }

    #[inline]
    pub(super) fn give_up(&mut self) {
        self.place.gave_up(&self.lobby.room().bells);
    }
}

/// Where there is always another seat.
#[cfg(feature = "alloc")]
impl<P, R, L> Clone for Sender<P, L>
where
    P: Reserve + Clone,
    R: Bells,
    L: Deref<Target = Lobby<Growing, R>> + Clone,
{
    fn clone(&self) -> Sender<P, L> {
        self.try_clone().expect("there is always another seat")
    }
}

impl<P: Producer, L: Deref<Target: Sides>> Drop for Sender<P, L> {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not looked at again.
        let producer = unsafe { ManuallyDrop::take(&mut self.producer) };
        // First: a waker that panics below leaves no seat behind.
        self.place.leave(&self.lobby.room().bells);
        if self.lobby.room().leave() {
            producer.close();
            announce();
            self.lobby.items().bells.ring_all();
        }
    }
}

// By hand: nothing inside need be `Debug`.
impl<P: Producer, L: Deref<Target: Sides>> fmt::Debug for Sender<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} of {})", self.len(), self.capacity())
    }
}

/// See [`Sender::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sending<'a, P: Producer, L: Deref<Target: Sides>> {
    sender: &'a mut Sender<P, L>,
    item: Option<P::Item>,
}

impl<P: Producer, L: Deref<Target: Sides>> Future for Sending<'_, P, L> {
    type Output = Result<(), SendError<P::Item>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.sender.poll_send(context, &mut this.item)
    }
}

/// The item is moved, never pinned.
impl<P: Producer, L: Deref<Target: Sides>> Unpin for Sending<'_, P, L> {}

impl<P: Producer, L: Deref<Target: Sides>> Drop for Sending<'_, P, L> {
    #[inline]
    fn drop(&mut self) {
        self.sender.give_up();
    }
}

impl<P: Producer, L: Deref<Target: Sides>> fmt::Debug for Sending<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}

/// See [`Sender::send_many`].
#[must_use = "futures do nothing unless awaited"]
pub struct SendingMany<'a, P: Reserve, L: Deref<Target: Sides>, I> {
    sender: &'a mut Sender<P, L>,
    items: &'a mut I,
    sent: usize,
}

impl<P: Reserve, L: Deref<Target: Sides>, I: Iterator<Item = P::Item>> Future
    for SendingMany<'_, P, L, I>
{
    type Output = Result<usize, SendError<usize>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.sender.poll_send_many(context, this.items, &mut this.sent)
    }
}

impl<P: Reserve, L: Deref<Target: Sides>, I> Drop for SendingMany<'_, P, L, I> {
    fn drop(&mut self) {
        self.sender.give_up();
    }
}

impl<P: Reserve, L: Deref<Target: Sides>, I> fmt::Debug for SendingMany<'_, P, L, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendingMany({} sent)", self.sent)
    }
}
