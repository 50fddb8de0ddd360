//! Lock-free rings: each algorithm in its own module, apart from the memory that it uses. Rings use
//! no wakers, threads or heaps; [`doorbell`](crate::doorbell) and [`channel`](crate::channel) add
//! the waiting.
//!
//! | ring | writers → readers | order | progress | when full |
//! | --- | --- | --- | --- | --- |
//! | [`spsc`] | 1 → 1 | FIFO | wait-free | refuses |
//! | [`stamped`] | 1 → 1 | FIFO | wait-free | refuses |
//! | [`mpmc`] | n → m, each item once | FIFO, linearizable (see there) | lock-free | refuses |
//! | [`broadcast`] | 1 → n, each message to all | FIFO | wait-free [^1] | refuses [^2] |
//!
//! [^1]: The writer waits for gating readers.
//! [^2]: Only gating readers make it full; observers may be overwritten.
//!
//! Of the two rings for one writer and one reader, `spsc` publishes its items by one index and is
//! faster for batches and for items of a few bytes; `stamped` marks each slot, and is faster for
//! messages and for round trips.
//!
//! `retained` has slots beside a broadcast ring, for the values that its writer keeps for readers
//! that join later.
//!
//! Shared parts: this file (the traits and errors of the ends, and the handle from an end to its
//! ring), `slots.rs` (memory), `cell.rs` (one value).

use core::ops::Deref;

use thiserror::Error;

mod cell;
mod slots;

#[cfg(target_has_atomic = "ptr")]
pub mod broadcast;
#[cfg(target_has_atomic = "ptr")]
pub mod mpmc;
#[cfg(all(target_has_atomic = "ptr", not(loom)))]
pub mod region;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub mod retained;
pub mod spsc;
pub mod stamped;

#[cfg(feature = "alloc")]
pub use slots::Heap;
pub use slots::Storage;

/// Returns whether `a` comes after `b`, for positions that wrap.
#[cfg(target_has_atomic = "ptr")]
#[inline]
fn is_after(a: usize, b: usize) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// A writing end.
pub trait Producer {
    /// The type of the items.
    type Item;

    /// Appends an item.
    ///
    /// # Errors
    /// [`PushError`] with the item, if the ring is full or the readers have closed the ring.
    fn try_push(&mut self, item: Self::Item) -> Result<(), PushError<Self::Item>>;

    /// Appends an item if this leaves a free slot for another writer. In a ring for one writer this
    /// is [`try_push`](Producer::try_push).
    ///
    /// # Errors
    /// [`PushError`] with the item; `Full` also if there is only one free slot.
    fn try_push_leaving_one(&mut self, item: Self::Item) -> Result<(), PushError<Self::Item>> {
        self.try_push(item)
    }

    /// Returns whether a push would be refused with [`PushError::Full`], as far as this end can
    /// see.
    fn is_full(&mut self) -> bool;

    /// Returns whether the readers have closed the ring.
    fn is_closed(&self) -> bool;

    /// Returns how many slots the ring has.
    fn capacity(&self) -> usize;

    /// Returns how many items are in the ring, as far as this end can see.
    fn len(&self) -> usize;

    /// Returns whether nothing is in the ring, as far as this end can see.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends pushing; in a ring for many writers, for all of them. Readers get the items in the
    /// ring, then [`PopError::Closed`].
    fn close(self);
}

/// A reading end.
pub trait Consumer {
    /// The type of the items.
    type Item;

    /// Takes the next item.
    ///
    /// # Errors
    /// [`PopError`] if the ring is empty, or was closed and is empty.
    fn try_pop(&mut self) -> Result<Self::Item, PopError>;

    /// Takes up to `most` items and passes each to `take`. Returns how many there were. If `take`
    /// panics, the items that were not passed to it are dropped, or stay in the ring.
    ///
    /// # Errors
    /// [`PopError`] if there is none.
    fn pop_many(&mut self, most: usize, take: impl FnMut(Self::Item)) -> Result<usize, PopError>;

    /// Publishes all room that this end has made. Some rings otherwise do so only every few pops.
    fn flush(&mut self) {}

    /// Makes sure that the next check for items is not skipped, in an end that skips checks
    /// ([`spsc::Consumer::slipping`]). A reader that parks calls this before its last check.
    fn force_check(&mut self) {}

    /// Returns how many slots the ring has.
    fn capacity(&self) -> usize;

    /// Returns how many items are in the ring, as far as this end can see.
    fn len(&self) -> usize;

    /// Returns whether nothing is in the ring, as far as this end can see.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Does the same as [`close`](Consumer::close), but this end stays and can take the remaining
    /// items.
    fn refuse_pushes(&mut self);

    /// Closes the ring as [`refuse_pushes`](Consumer::refuse_pushes) does, and drops the items in
    /// it, including those behind a claimed slot that is not filled yet. An item that a writer puts
    /// into such a slot later is dropped with the ring.
    fn discard(&mut self) {
        self.refuse_pushes();
        while self.try_pop().is_ok() {}
    }

    /// Ends reading: all writers get [`PushError::Closed`]. Items in the ring stay there until it
    /// is dropped; in a ring for many readers the other readers may take them.
    fn close(self);
}

/// A pointer to a ring: `&Ring`, or `Arc<Ring>` with the feature `alloc`. Your own handle may point
/// to memory that something else owns.
///
/// The clone of a handle may point to another ring. So a cloned end, and any other code that clones
/// a handle, gets the ring from the clone, and copies no pointer, position or index.
///
/// # Safety
/// As long as a handle lives, and after it was moved, `deref` returns the same ring at the same
/// address.
#[allow(unsafe_code)]
pub unsafe trait Handle: Deref {}

// SAFETY: a shared reference is what `deref` returns.
#[allow(unsafe_code)]
unsafe impl<R> Handle for &R {}

// SAFETY: an `Arc` never moves its content, and its content cannot be replaced while an end owns
// the `Arc`.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
#[allow(unsafe_code)]
unsafe impl<R> Handle for alloc::sync::Arc<R> {}

// SAFETY: as above.
#[cfg(loom)]
#[allow(unsafe_code)]
unsafe impl<R> Handle for loom::sync::Arc<R> {}

/// Why a ring of this capacity cannot be created.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// The capacity is not a power of two, below 2, or above [`CapacityError::MOST`].
    #[error("capacity {given} is not a power of two from 2 to {}", CapacityError::MOST)]
    Invalid {
        /// The requested capacity.
        given: usize,
    },
    /// There is not enough memory.
    #[error("no memory for {given} slots")]
    Memory {
        /// The requested capacity.
        given: usize,
    },
}

impl CapacityError {
    /// The largest capacity of any ring.
    pub const MOST: usize = 1 << (usize::BITS - 4);

    /// Returns whether a ring can have this capacity.
    pub(crate) const fn allows(capacity: usize) -> bool {
        capacity.is_power_of_two() && capacity >= 2 && capacity <= CapacityError::MOST
    }

    pub(crate) const fn check(given: usize) -> Result<(), CapacityError> {
        if CapacityError::allows(given) { Ok(()) } else { Err(CapacityError::Invalid { given }) }
    }
}

/// Why an item was refused. Contains the item.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError<T> {
    /// The ring is full. In [`mpmc`]: the next slot is not free, though later slots may be.
    #[error("the ring is full")]
    Full(T),
    /// The readers have closed the ring.
    #[error("the ring is closed")]
    Closed(T),
}

impl<T> PushError<T> {
    /// Returns the item.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(item) | PushError::Closed(item) => item,
        }
    }

    /// Returns whether a later push may succeed.
    pub fn is_full(&self) -> bool {
        matches!(self, PushError::Full(_))
    }
}

crate::debug_as_display!(<T> PushError);

/// Why there is no item to take.
//
// A word: a byte at the place of an item's first word would split the copies of the item there.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[repr(usize)]
pub enum PopError {
    /// There is no item now. In [`mpmc`]: the next slot is not filled, though later slots may be.
    #[error("the ring is empty")]
    Empty,
    /// All items were taken and the writers have closed the ring.
    #[error("the ring is empty and closed")]
    Closed,
}

/// Why slots were not granted.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum GrantError {
    /// The ring has fewer slots than were requested.
    #[error("a ring of {capacity} slots cannot grant {asked}: request 1 to {capacity}")]
    Count {
        /// The number of requested slots.
        asked: usize,
        /// The number of slots in the ring.
        capacity: usize,
    },
    /// There is not enough room now.
    #[error("the ring has room for {room} items only")]
    Full {
        /// The number of slots that could be granted now.
        room: usize,
    },
    /// The readers have closed the ring.
    #[error("the ring is closed")]
    Closed,
}

crate::debug_as_display!(CapacityError, PopError, GrantError);
