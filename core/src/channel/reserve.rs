//! A slot for an item to come: the wait for room apart from the send, which is then immediate.

#![allow(unsafe_code)]

use core::fmt;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::sender::tell;
use super::{SendError, Sender, Sides};
use crate::ring::{GrantError, Handle, Producer, spsc};

/// A writer's end that can hold a slot for an item to come, and knows whether there may be other writers. The rings for
/// items all have such ends.
pub trait Reserve: Producer + Sized {
    /// Whether readers must pass a slot that was given back, before it is room again and what lies behind it is seen.
    const SKIPS: bool;

    /// A slot that is held.
    type Vacant<'a>: Vacant<Item = Self::Item>
    where
        Self: 'a;

    /// Holds a slot.
    ///
    /// # Errors
    /// [`GrantError`] if there is no room or nobody will ever read.
    fn vacant(&mut self) -> Result<Self::Vacant<'_>, GrantError>;

    /// One more end of the same ring, or `None` if it has none to give.
    fn another(&self) -> Option<Self>;
}

/// A slot of a ring that is held for an item. Dropping it gives the slot back.
pub trait Vacant {
    /// What the ring holds.
    type Item;

    /// Puts the item there and shows it to readers.
    fn fill(self, item: Self::Item);
}

impl<H: Handle<Target: spsc::Ring>> Reserve for spsc::Producer<H> {
    const SKIPS: bool = false;

    type Vacant<'a>
        = spsc::Grant<'a, H>
    where
        Self: 'a;

    #[inline]
    fn vacant(&mut self) -> Result<spsc::Grant<'_, H>, GrantError> {
        self.grant(1)
    }

    fn another(&self) -> Option<Self> {
        None
    }
}

impl<H: Handle<Target: spsc::Ring>> Vacant for spsc::Grant<'_, H> {
    type Item = <spsc::Producer<H> as Producer>::Item;

    #[inline]
    fn fill(mut self, item: Self::Item) {
        // There is room for the one item that it was granted for.
        _ = self.push(item);
        self.commit();
    }
}

/// A slot for one item, held by [`Sender::reserve`]. Dropping it gives the slot back: at once in a channel with one
/// sender, in another as soon as a receiver passes it.
///
/// In a channel with several senders, items that were sent after the slot was taken lie behind it: receivers get them
/// once this permit is used or dropped. So do not wait for anything with a permit in your hands. To forget it
/// (`mem::forget`) stops such a channel for good.
pub struct Permit<'a, P: Reserve + 'a, L: Deref<Target: Sides>> {
    vacant: Option<P::Vacant<'a>>,
    lobby: &'a L,
}

impl<'a, P: Reserve, L: Deref<Target: Sides>> Permit<'a, P, L> {
    pub(super) fn new(vacant: P::Vacant<'a>, lobby: &'a L) -> Permit<'a, P, L> {
        Permit { vacant: Some(vacant), lobby }
    }

    /// Sends the item, now. If the receivers went after the permit was given, it is dropped with the channel.
    #[inline]
    pub fn send(self, item: P::Item) {
        let lobby = self.lobby;
        self.fill(item);
        tell(lobby);
    }

    /// Sends without telling the receivers: `tell` is still to come.
    #[inline]
    pub(super) fn fill(mut self, item: P::Item) {
        if let Some(vacant) = self.vacant.take() {
            vacant.fill(item);
        }
    }
}

impl<P: Reserve, L: Deref<Target: Sides>> Drop for Permit<'_, P, L> {
    fn drop(&mut self) {
        let Some(vacant) = self.vacant.take() else { return };
        if P::SKIPS {
            self.lobby.room().gives_up();
        }
        drop(vacant);
        // What lies behind the slot can be read from now on.
        if P::SKIPS {
            tell(self.lobby);
        }
    }
}

// By hand: nothing inside need be `Debug`.
impl<P: Reserve, L: Deref<Target: Sides>> fmt::Debug for Permit<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// See [`Sender::reserve`].
#[must_use = "futures do nothing unless awaited"]
pub struct Reserving<'a, P: Reserve, L: Deref<Target: Sides>> {
    sender: Option<&'a mut Sender<P, L>>,
}

impl<'a, P: Reserve, L: Deref<Target: Sides>> Reserving<'a, P, L> {
    pub(super) fn new(sender: &'a mut Sender<P, L>) -> Reserving<'a, P, L> {
        Reserving { sender: Some(sender) }
    }
}

impl<'a, P: Reserve, L: Deref<Target: Sides>> Future for Reserving<'a, P, L> {
    type Output = Result<Permit<'a, P, L>, SendError<()>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(sender) = self.sender.take() else { return Poll::Pending };
        let sender: *mut Sender<P, L> = sender;
        // SAFETY: the sender is borrowed for as long as the permit lives, and only by this future, which lets go of it
        // when it returns one. That the borrow can be kept where there is none yet, the compiler does not see.
        if let Poll::Ready(permit) = unsafe { &mut *sender }.poll_reserve(context) {
            return Poll::Ready(permit);
        }
        // SAFETY: as above; there is no permit.
        self.sender = Some(unsafe { &mut *sender });
        Poll::Pending
    }
}

impl<P: Reserve, L: Deref<Target: Sides>> Drop for Reserving<'_, P, L> {
    fn drop(&mut self) {
        if let Some(sender) = &mut self.sender {
            sender.give_up();
        }
    }
}

impl<P: Reserve, L: Deref<Target: Sides>> fmt::Debug for Reserving<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reserving")
    }
}
