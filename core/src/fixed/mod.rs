//! Text and lists of bounded length, and a wide integer, for messages.
//!
//! Text and lists are a little-endian `u16` count and then the content, without alignment, so a
//! message can have them at any offset. Their bytes may come from a hostile peer: decoding refuses
//! a count above the capacity and text that is not UTF-8 ([`Field::check`]).
//!
//! # Panics
//!
//! No function here panics for any bytes, not even for unchecked values: a count above the
//! capacity is read as the capacity, and text ends at the first byte that is not UTF-8. Unused
//! items are always empty (zero, except for enums without a zero), so removed content is never
//! sent.

mod list;
mod text;
mod wide;

pub use list::{FixedVec, Iter};
pub use text::FixedStr;
pub use wide::U256;

use core::fmt;

use thiserror::Error;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::little_endian::U16,
};

use crate::error::{Invalid, InvalidReason};

#[cfg(doc)]
use crate::message::Field;

/// The text has more bytes than the capacity.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("text of {found} bytes exceeds the capacity of {capacity} bytes")]
pub struct TooLong {
    /// The capacity in bytes.
    pub capacity: usize,
    /// How many bytes the text has; of text that was appended, with the bytes before it.
    pub found: usize,
}

/// There are more items than the capacity.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("list of {found} items exceeds the capacity of {capacity} items")]
pub struct TooMany {
    /// The capacity in items.
    pub capacity: usize,
    /// How many items were given.
    pub found: usize,
}

crate::debug_as_display!(TooLong, TooMany);

/// The list is full. Returns the value.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the list is full: it has no room for another item")]
pub struct NoRoom<T>(pub T);

// As `Display`, which `main` and `unwrap` do not use. An item need not be `Debug`.
impl<T> fmt::Debug for NoRoom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The count of a text or a list, maybe unchecked.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
struct ItemCount(U16);

impl ItemCount {
    const ZERO: Self = Self(U16::ZERO);

    /// A count that the caller has checked against a capacity that fits.
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
