//! What the ends of all rings for items have in common, for code that works with any of them.

use super::{PopError, PushError};

/// An end that items go into.
pub trait Producer {
    /// What the ring holds.
    type Item;

    /// Appends an item.
    ///
    /// # Errors
    /// [`PushError`] with the item, if there is no room or nobody will ever read.
    fn try_push(&mut self, item: Self::Item) -> Result<(), PushError<Self::Item>>;

    /// Whether a push would be refused because of [`PushError::Full`], as far as this end can see.
    fn is_full(&mut self) -> bool;

    /// Whether the readers are gone for good.
    fn is_closed(&self) -> bool;

    /// How many items the ring has slots for.
    fn capacity(&self) -> usize;

    /// How many items are in the ring, as far as this end can see.
    fn len(&self) -> usize;

    /// Whether nothing is in the ring, as far as this end can see.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends pushing; in a ring for many writers, for all of them. Readers get what is in the ring and then
    /// [`PopError::Closed`].
    fn close(self);
}

/// An end that items come out of.
pub trait Consumer {
    /// What the ring holds.
    type Item;

    /// Takes the next item.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    fn try_pop(&mut self) -> Result<Self::Item, PopError>;

    /// Takes up to `most` items, gives each to `take`, and returns how many there were. If `take` panics, the items of
    /// this call that it has not been given are dropped, or stay in the ring.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    fn pop_many(&mut self, most: usize, take: impl FnMut(Self::Item)) -> Result<usize, PopError>;

    /// Shows the writers at once all room that this end has made. Some rings do so by themselves only every few pops.
    fn flush(&mut self) {}

    /// The next look for items is not left out, where an end leaves looks out
    /// ([`spsc::Consumer::slipping`](super::spsc::Consumer::slipping)). A reader that parks calls this before its last
    /// look.
    fn force_check(&mut self) {}

    /// How many items the ring has slots for.
    fn capacity(&self) -> usize;

    /// How many items are in the ring, as far as this end can see.
    fn len(&self) -> usize;

    /// Whether nothing is in the ring, as far as this end can see.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`close`](Consumer::close), of an end that stays, to take what is left.
    fn refuse_pushes(&mut self);

    /// Says that nothing more is wanted: writers, all of them, get [`PushError::Closed`]. What is in the ring stays
    /// there until it is dropped; in a ring for many readers the others may take it.
    fn close(self);
}
