//! The futures of a [`Sender`].

#![allow(unsafe_code)]

use core::fmt;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::error::SendError;
use super::reserve::{Permit, Reserve};
use super::sender::Sender;
use super::waiters::Sides;
use crate::ring::Producer;

impl<P: Producer, L: Deref<Target: Sides>> Sender<P, L> {
    /// Sends an item, after there is room for it.
    ///
    /// A future that is dropped before it completes did not send; the item is dropped with it. To
    /// keep the item, wait by [`reserve`](Sender::reserve) first.
    ///
    /// # Errors
    /// [`SendError`] with the item, if the receivers are gone.
    #[inline]
    pub fn send(&mut self, item: P::Item) -> Sending<'_, P, L> {
        Sending { sender: self, item: Some(item) }
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
    ) -> SendingMany<'a, P, L, I>
    where
        P: Reserve,
    {
        SendingMany { sender: self, items, sent: 0 }
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
        self.sender.cancel_wait();
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
        self.sender.cancel_wait();
    }
}

impl<P: Reserve, L: Deref<Target: Sides>, I> fmt::Debug for SendingMany<'_, P, L, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendingMany({} sent)", self.sent)
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
