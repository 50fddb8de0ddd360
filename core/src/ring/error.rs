//! The errors of rings for items: no such capacity, no room, no item, no slots.

use core::fmt;

use thiserror::Error;

/// Why a ring of this capacity cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// Not a power of two, below 2, or above [`CapacityError::MOST`].
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

    /// Whether a ring can have this many slots.
    pub(crate) const fn allows(capacity: usize) -> bool {
        capacity.is_power_of_two() && capacity >= 2 && capacity <= CapacityError::MOST
    }

    pub(crate) const fn check(given: usize) -> Result<(), CapacityError> {
        if CapacityError::allows(given) { Ok(()) } else { Err(CapacityError::Invalid { given }) }
    }
}

/// Why an item was refused; it comes back.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError<T> {
    /// The ring is full. In [`mpmc`](super::mpmc): the next slot is not free, though later ones
    /// may be.
    #[error("the ring is full")]
    Full(T),
    /// The readers have closed the ring.
    #[error("the ring is closed")]
    Closed(T),
}

impl<T> PushError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(item) | PushError::Closed(item) => item,
        }
    }

    /// Whether waiting may help.
    pub fn is_full(&self) -> bool {
        matches!(self, PushError::Full(_))
    }
}

// As `Display`, which `main` and `unwrap` do not use. An item need not be `Debug`.
impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no item.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum PopError {
    /// There is none now. In [`mpmc`](super::mpmc): the next item is not there, though later ones
    /// may be.
    #[error("the ring is empty")]
    Empty,
    /// All items were taken and the writers have closed the ring.
    #[error("the ring is empty and closed")]
    Closed,
}

/// Why slots were not granted.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
pub enum GrantError {
    /// A ring of this capacity can never grant this number of slots.
    #[error("a ring of {capacity} slots cannot grant {asked}: request 1 to {capacity}")]
    Count {
        /// How many slots were requested.
        asked: usize,
        /// How many the ring has.
        capacity: usize,
    },
    /// There is less room now.
    #[error("the ring has room for {room} items only")]
    Full {
        /// How many slots could be granted now.
        room: usize,
    },
    /// The readers have closed the ring.
    #[error("the ring is closed")]
    Closed,
}

crate::debug_as_display!(CapacityError, PopError, GrantError);
