//! The traits of the ends of all rings for items, for code that works with any of them.

use super::{PopError, PushError};

/// A writing end.
pub trait Producer {
    /// What the ring holds.
    type Item;

    /// Appends an item.
    ///
    /// # Errors
    /// [`PushError`] with the item, if the ring is full or the readers have closed the ring.
    fn try_push(&mut self, item: Self::Item) -> Result<(), PushError<Self::Item>>;

    /// Whether a push would be refused with [`PushError::Full`], as far as this end can see.
    fn is_full(&mut self) -> bool;

    /// Whether the readers have closed the ring.
    fn is_closed(&self) -> bool;

    /// How many items the ring has slots for.
    fn capacity(&self) -> usize;

    /// How many items are in the ring, as far as this end can see.
    fn len(&self) -> usize;

    /// Whether nothing is in the ring, as far as this end can see.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends pushing; in a ring for many writers, for all of them. Readers get the items in the ring
    /// and then [`PopError::Closed`].
    fn close(self);
}

/// A reading end.
pub trait Consumer {
    /// What the ring holds.
    type Item;

    /// Takes the next item.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    fn try_pop(&mut self) -> Result<Self::Item, PopError>;

    /// Takes up to `most` items, gives each to `take`, and returns how many there were. If `take`
    /// panics, the items of this call that it has not been given are dropped, or stay in the ring.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    fn pop_many(&mut self, most: usize, take: impl FnMut(Self::Item)) -> Result<usize, PopError>;

    /// Shows the writers at once all room that this end has made. Some rings show it by themselves
    /// only every few pops.
    fn flush(&mut self) {}

    /// The next check for items is not skipped, where an end skips checks
    /// ([`spsc::Consumer::slipping`](super::spsc::Consumer::slipping)). A reader that parks calls
    /// this before its last check.
    fn force_check(&mut self) {}

    /// How many items the ring has slots for.
    fn capacity(&self) -> usize;

    /// How many items are in the ring, as far as this end can see.
    fn len(&self) -> usize;

    /// Whether nothing is in the ring, as far as this end can see.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same as [`close`](Consumer::close), but this end stays and takes the remaining items.
    fn refuse_pushes(&mut self);

    /// Closes the ring as [`refuse_pushes`](Consumer::refuse_pushes), and drops the items in it,
    /// also those behind a slot that a writer has claimed and not filled yet. An item that is put
    /// into such a slot later is dropped with the ring.
    fn discard(&mut self) {
        self.refuse_pushes();
        while self.try_pop().is_ok() {}
    }

    /// Ends reading: all writers get [`PushError::Closed`]. Items in the ring stay there until it
    /// is dropped; in a ring for many readers the others may take them.
    fn close(self);
}
