//! Slots that are held for an item: the wait for room apart from the send, which is then immediate.
//! Read before `sender.rs`.

use core::fmt;
use core::ops::Deref;

use super::waiters::Sides;
use crate::ring::{GrantError, Handle, Producer, spsc};

/// A writer's end that can hold a slot for an item, and knows whether there may be other writers.
/// All rings for items have such ends.
pub trait Reserve: Producer + Sized {
    /// Whether readers must skip an aborted slot before it is free again and the items behind it
    /// are visible.
    const SKIPS: bool;

    /// A slot that is held.
    type Slot<'a>: ReservedSlot<Item = Self::Item>
    where
        Self: 'a;

    /// Holds a slot.
    ///
    /// # Errors
    /// [`GrantError`] if the ring is full or the readers are gone.
    fn reserve_slot(&mut self) -> Result<Self::Slot<'_>, GrantError>;

    /// Another end of the same ring, or `None` if it has only one.
    fn try_clone(&self) -> Option<Self>;
}

/// A slot of a ring that is held for an item. Dropping it aborts: the slot is free again.
pub trait ReservedSlot {
    /// What the ring holds.
    type Item;

    /// Puts the item into the slot and shows it to readers.
    fn fill(self, item: Self::Item);
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

    fn try_clone(&self) -> Option<Self> {
        None
    }
}

impl<H: Handle<Target: spsc::Ring>> ReservedSlot for spsc::Grant<'_, H> {
    type Item = <spsc::Producer<H> as Producer>::Item;

    #[inline]
    fn fill(mut self, item: Self::Item) {
        // The grant has room for one item.
        _ = self.push(item);
        self.commit();
    }
}

/// A slot for one item, held by [`Sender::reserve`](super::Sender::reserve). Dropping it gives the
/// slot back: at once in a channel with one sender, otherwise as soon as a receiver skips it.
///
/// In a channel with several senders, items that were sent after the slot was taken lie behind it:
/// receivers get them once this permit is used or dropped. So do not wait for anything while you
/// hold a permit. To forget a permit (`mem::forget`) stops such a channel for ever.
pub struct Permit<'a, P: Reserve + 'a, L: Deref<Target: Sides>> {
    slot: Option<P::Slot<'a>>,
    waiters: &'a L,
}

impl<'a, P: Reserve, L: Deref<Target: Sides>> Permit<'a, P, L> {
    pub(super) fn new(slot: P::Slot<'a>, waiters: &'a L) -> Permit<'a, P, L> {
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
    pub(super) fn fill(mut self, item: P::Item) {
        if let Some(slot) = self.slot.take() {
            slot.fill(item);
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
        // The items behind the slot can be read from now on.
        if P::SKIPS {
            self.waiters.receivers().notify_one();
        }
    }
}

// By hand: nothing inside need be `Debug`.
impl<P: Reserve, L: Deref<Target: Sides>> fmt::Debug for Permit<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}
