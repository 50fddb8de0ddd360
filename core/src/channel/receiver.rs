//! The end of a channel that items come out of.

#![allow(unsafe_code)]

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

#[cfg(feature = "alloc")]
use super::Lobby;
use super::Sides;
use super::place::Place;
#[cfg(feature = "alloc")]
use crate::doorbell::Growing;
use crate::doorbell::{Bells, announce};
use crate::ring::{Consumer, PopError};
use crate::wait::Wait;

/// The end of a channel that items come out of. When the last one is dropped, the channel closes, and what it could
/// receive is dropped; see [Closing](super) for what stays.
///
/// `C` is an end of the ring, `L` leads to the [lobby](super::Lobby).
pub struct Receiver<C: Consumer, L: Deref<Target: Sides>> {
    consumer: ManuallyDrop<C>,
    place: Place<<L::Target as Sides>::Items>,
    lobby: L,
}

impl<C: Consumer, L: Deref<Target: Sides>> Receiver<C, L> {
    /// A receiver of a channel that may be made by anybody: out of an end of a ring and a lobby that the senders share.
    /// `None` if all seats of the lobby are taken.
    pub fn new(consumer: C, lobby: L) -> Option<Receiver<C, L>> {
        let items = lobby.items();
        let place = Place::new(items.bells.take_seat()?, Wait::Park);
        items.join();
        Some(Receiver { consumer: ManuallyDrop::new(consumer), place, lobby })
    }

    /// One more receiver, or `None` if the channel has seats for no more.
    #[must_use]
    pub fn try_clone(&self) -> Option<Receiver<C, L>>
    where
        C: Clone,
        L: Clone,
    {
        let mut other = Receiver::new(C::clone(&self.consumer), self.lobby.clone())?;
        other.place.set_wait_strategy(self.place.wait());
        Some(other)
    }

    /// How this end waits for items from now on; at first it is [`Wait::Park`].
    pub fn set_wait_strategy(&mut self, wait: Wait) {
        self.place.set_wait_strategy(wait);
    }

    /// Takes the next item if there is one now.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    #[inline]
    pub fn try_recv(&mut self) -> Result<C::Item, PopError> {
        let taken = self.consumer.try_pop();
        if taken.is_ok() || self.may_have_passed_slots() {
            self.tell();
        }
        taken
    }

    /// Takes the next item, after there is one; `None` when all was taken and the senders are gone.
    ///
    /// Dropping the future before it completes takes nothing.
    #[inline]
    pub fn recv(&mut self) -> Receiving<'_, C, L> {
        Receiving { receiver: self }
    }

    /// Takes up to `most` items, as many as there are after there is one, gives them to `buffer`, and returns how many;
    /// 0 when all was taken and the senders are gone. Senders are told once. A `Vec` is a buffer, and one of `heapless`
    /// too if it has room for `most`.
    ///
    /// Dropping the future before it completes takes nothing.
    #[inline]
    pub fn recv_many<'a, E: Extend<C::Item>>(
        &'a mut self,
        buffer: &'a mut E,
        most: usize,
    ) -> ReceivingMany<'a, C, L, E> {
        ReceivingMany { receiver: self, buffer, most }
    }

    /// How many items the channel has slots for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.consumer.capacity()
    }

    /// How many items wait in the channel, as far as this end can see. In a channel with several senders, slots that are
    /// held, or were given back, count until a receiver has passed them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.consumer.len()
    }

    /// Whether nothing waits in the channel, as far as this end can see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// Says that this end takes no more, as dropping it does. When all receivers are gone, senders get their items back.
    pub fn close(self) {}

    /// As [`recv`](Receiver::recv), for who has futures of their own.
    #[inline]
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<C::Item>> {
        let consumer = &mut *self.consumer;
        let taken = self.place.poll(&self.lobby.items().bells, context.waker(), |is_last| {
            if is_last {
                consumer.look_exactly();
            }
            match consumer.try_pop() {
                Ok(item) => Some(Some(item)),
                Err(PopError::Closed) => Some(None),
                Err(PopError::Empty) => None,
            }
        });
        self.looked(taken)
    }

    /// As [`recv_many`](Receiver::recv_many), for who has futures of their own.
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
        let panics = TellIfPanics { consumer: &mut *self.consumer, lobby: &self.lobby };
        let taken = self.place.poll(&self.lobby.items().bells, context.waker(), |is_last| {
            if is_last {
                panics.consumer.look_exactly();
            }
            match panics.consumer.pop_many(most, |item| buffer.extend(Some(item))) {
                Ok(count) => Some(Some(count)),
                Err(PopError::Closed) => Some(None),
                Err(PopError::Empty) => None,
            }
        });
        core::mem::forget(panics);
        self.looked(taken).map(|count| count.unwrap_or(0))
    }

    /// Whether a look that found nothing may have made room nevertheless: it passes slots that were given up.
    #[inline]
    fn may_have_passed_slots(&self) -> bool {
        self.lobby.room().has_given_up()
    }

    /// After a look that found something, the end, or nothing.
    #[inline]
    fn looked<R>(&mut self, taken: Poll<Option<R>>) -> Poll<Option<R>> {
        if matches!(taken, Poll::Ready(Some(_))) || self.may_have_passed_slots() {
            self.tell();
        }
        let taken = ready!(taken);
        let consumer = &*self.consumer;
        self.place.got(&self.lobby.items().bells, || !consumer.is_empty());
        Poll::Ready(taken)
    }

    /// Tells a sender that there is room.
    #[inline]
    fn tell(&mut self) {
        tell(&mut *self.consumer, &self.lobby);
    }

    #[inline]
    fn give_up(&mut self) {
        self.place.gave_up(&self.lobby.items().bells);
    }
}

/// Tells a sender that there is room.
#[inline]
fn tell(consumer: &mut impl Consumer, lobby: &impl Deref<Target: Sides>) {
    consumer.flush();
    lobby.room().bells.announce_and_ring();
}

/// What a buffer that panics was given has left the channel: senders must not wait for that room.
struct TellIfPanics<'a, C: Consumer, L: Deref<Target: Sides>> {
    consumer: &'a mut C,
    lobby: &'a L,
}

impl<C: Consumer, L: Deref<Target: Sides>> Drop for TellIfPanics<'_, C, L> {
    fn drop(&mut self) {
        tell(self.consumer, self.lobby);
    }
}

/// Where there is always another seat.
#[cfg(feature = "alloc")]
impl<C, S, L> Clone for Receiver<C, L>
where
    C: Consumer + Clone,
    S: Bells,
    L: Deref<Target = Lobby<S, Growing>> + Clone,
{
    fn clone(&self) -> Receiver<C, L> {
        self.try_clone().expect("there is always another seat")
    }
}

impl<C: Consumer, L: Deref<Target: Sides>> Drop for Receiver<C, L> {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not looked at again.
        let consumer = unsafe { ManuallyDrop::take(&mut self.consumer) };
        self.place.leave(&self.lobby.items().bells);
        if self.lobby.items().leave() {
            close_and_empty(consumer, &self.lobby.room().bells);
        }
    }
}

/// What a sender waits for an answer to must not lie in the channel until that sender goes.
///
/// Closed first, so that nothing comes behind what is dropped here. What was on its way then stays until the channel
/// goes, and so does what lies behind a slot that somebody holds.
fn close_and_empty<C: Consumer, B: Bells>(mut consumer: C, room: &B) {
    /// Tells the senders, even if the drop of an item panics; and items are dropped even if a waker does.
    struct Tell<'a, B: Bells>(&'a B);

    impl<B: Bells> Drop for Tell<'_, B> {
        fn drop(&mut self) {
            announce();
            self.0.ring_all();
        }
    }

    consumer.refuse();
    let _tell = Tell(room);
    while consumer.try_pop().is_ok() {}
}

// By hand: nothing inside need be `Debug`.
impl<C: Consumer, L: Deref<Target: Sides>> fmt::Debug for Receiver<C, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} of {})", self.len(), self.capacity())
    }
}

/// See [`Receiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct Receiving<'a, C: Consumer, L: Deref<Target: Sides>> {
    receiver: &'a mut Receiver<C, L>,
}

impl<C: Consumer, L: Deref<Target: Sides>> Future for Receiving<'_, C, L> {
    type Output = Option<C::Item>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<C::Item>> {
        self.get_mut().receiver.poll_recv(context)
    }
}

impl<C: Consumer, L: Deref<Target: Sides>> Drop for Receiving<'_, C, L> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.give_up();
    }
}

impl<C: Consumer, L: Deref<Target: Sides>> fmt::Debug for Receiving<'_, C, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiving")
    }
}

/// See [`Receiver::recv_many`].
#[must_use = "futures do nothing unless awaited"]
pub struct ReceivingMany<'a, C: Consumer, L: Deref<Target: Sides>, E> {
    receiver: &'a mut Receiver<C, L>,
    buffer: &'a mut E,
    most: usize,
}

impl<C: Consumer, L: Deref<Target: Sides>, E: Extend<C::Item>> Future
    for ReceivingMany<'_, C, L, E>
{
    type Output = usize;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        let this = self.get_mut();
        this.receiver.poll_recv_many(context, this.buffer, this.most)
    }
}

impl<C: Consumer, L: Deref<Target: Sides>, E> Drop for ReceivingMany<'_, C, L, E> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.give_up();
    }
}

impl<C: Consumer, L: Deref<Target: Sides>, E> fmt::Debug for ReceivingMany<'_, C, L, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceivingMany({})", self.most)
    }
}
