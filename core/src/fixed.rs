//! Text and lists of bounded length, for messages.
//!
//! Both are a `u16` count (little-endian) and then the content, without any alignment, so they fit
//! anywhere in a message. Their bytes may come from a hostile peer: decoding refuses a count above
//! the capacity and text that is not UTF-8, through [`Field::check`].
//!
//! # Panics
//!
//! No function here panics, whatever the bytes, not even on values that were never checked: a count
//! above the capacity is read as the capacity, and text ends where it stops being UTF-8. What is not
//! in use is always empty (zero, except for enums without a zero), so nothing that was once in a
//! text or list stays behind in it and leaks to the wire.

mod list;
mod text;

pub use list::{FixedVec, Iter};
pub use text::FixedStr;

use thiserror::Error;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::little_endian::U16,
};

use crate::error::{Invalid, InvalidReason};

#[cfg(doc)]
use crate::message::Field;

/// More was given than there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{found} items exceed the capacity of {capacity}")]
pub struct TooLong {
    /// How many items (of a text: bytes) there is room for.
    pub capacity: usize,
    /// How many were given.
    pub found: usize,
}

/// A list is full; here is the value back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the list is full")]
pub struct NoRoom<T>(pub T);

/// The count in front of a text or a list, as it came from the wire.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
struct Count(U16);

impl Count {
    const ZERO: Self = Self(U16::ZERO);

    /// A count that is known to be within `capacity`, which is known to fit.
    #[inline]
    fn new(count: usize) -> Self {
        Self(U16::new(u16::try_from(count).unwrap_or(u16::MAX)))
    }

    #[inline]
    fn clamped(self, capacity: usize) -> usize {
        usize::from(self.0.get()).min(capacity)
    }

    #[inline]
    fn check(self, capacity: usize) -> Result<(), Invalid> {
        let found = usize::from(self.0.get());
        if found > capacity {
            return Err(Invalid::unnamed(InvalidReason::Count { capacity, found }));
        }
        Ok(())
    }
}
