//! Why a ring refuses.

use core::fmt;

/// Why there is no ring of this capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapacityError {
    /// Not a power of two, below 2, or above [`CapacityError::MOST`].
    Invalid {
        /// The capacity that was asked for.
        given: usize,
    },
    /// The memory for it cannot be had.
    Memory {
        /// The capacity that was asked for.
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

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CapacityError::Invalid { given } => {
                write!(
                    f,
                    "capacity {given} is not a power of two from 2 to {}",
                    CapacityError::MOST
                )
            }
            CapacityError::Memory { given } => write!(f, "no memory for {given} slots"),
        }
    }
}

impl core::error::Error for CapacityError {}

/// Why an item was not taken; it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PushError<T> {
    /// There is no room now. In [`mpmc`](super::mpmc): the next slot is not free, though later ones may be.
    Full(T),
    /// The readers are gone for good.
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

// By hand: an item need not be `Debug` for `unwrap` to work.
impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "Full(..)" } else { "Closed(..)" })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() { "the ring is full" } else { "the ring is closed" })
    }
}

impl<T> core::error::Error for PushError<T> {}

/// Why there is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PopError {
    /// Nothing yet. In [`mpmc`](super::mpmc): the next item is not there, though later ones may be.
    Empty,
    /// All was taken and the writers are gone for good.
    Closed,
}

impl fmt::Display for PopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PopError::Empty => "the ring is empty",
            PopError::Closed => "the ring is empty and closed",
        })
    }
}

impl core::error::Error for PopError {}

/// Why slots were not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// No ring of this capacity can ever grant so many, or none were asked for.
    Count {
        /// How many slots were asked for.
        asked: usize,
        /// How many the ring has.
        capacity: usize,
    },
    /// There is not so much room now.
    Full {
        /// How many slots could be granted now.
        room: usize,
    },
    /// The readers are gone for good.
    Closed,
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantError::Count { asked, capacity } => {
                write!(
                    f,
                    "a ring of {capacity} slots cannot grant {asked}: ask for 1 to {capacity}"
                )
            }
            GrantError::Full { room } => write!(f, "the ring has room for {room} items only"),
            GrantError::Closed => f.write_str("the ring is closed"),
        }
    }
}

impl core::error::Error for GrantError {}
