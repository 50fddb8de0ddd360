//! Text and lists of bounded length, and a 256-bit integer, for messages.
//!
//! Text and lists are a little-endian `u16` count and then the content, without alignment, so a
//! message can have them at any offset. Their bytes may come from a hostile peer: decoding refuses
//! a count above the capacity and text that is not UTF-8.
//!
//! # Panics
//!
//! No function here panics for any bytes, not even for unchecked values: a count above the
//! capacity is read as the capacity, and text ends at the first byte that is not UTF-8. Unused
//! items are always empty (zero, except for enums without a zero), so removed content is never
//! sent.

#![allow(unsafe_code)]

mod heapless;
mod list;
#[cfg(feature = "serde")]
mod serde;
mod text;

pub use list::FixedVec;
pub use text::FixedStr;

use core::{cmp::Ordering, fmt};

use thiserror::Error;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::little_endian::U16,
};

use crate::{
    descriptor::FieldType,
    error::{Invalid, InvalidReason},
    message::{Bodies, Checked, Encoder, Field, Fixed, IsFixed, bytes_of},
};

/// The text has more bytes than the capacity.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("text of {found} bytes exceeds the capacity of {capacity} bytes")]
pub struct TooLong {
    /// The capacity in bytes.
    pub capacity: usize,
    /// The length of the text in bytes; for an append, of the whole result.
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

/// The list is full. Contains the refused value.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the list is full: it has no room for another item")]
pub struct NoRoom<T>(pub T);

crate::debug_as_display!(<T> NoRoom);

/// The count of a text or a list. It may be unchecked.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
struct ItemCount(U16);

impl ItemCount {
    const ZERO: Self = Self(U16::ZERO);

    /// Creates a count that the caller has checked against a capacity of at most `u16::MAX`.
    #[inline]
    fn new(count: usize) -> Self {
        Self(U16::new(u16::try_from(count).unwrap_or(u16::MAX)))
    }

    #[inline]
    fn clamped(self, capacity: usize) -> usize {
        usize::from(self.0.get()).min(capacity)
    }
}

/// The number of digits of the largest [`U256`].
const DIGITS: usize = 78;

/// An unsigned integer of 256 bits: 32 bytes, little-endian, without alignment. It is for tools;
/// programs convert it to a type of their own to compute.
///
/// # Examples
///
/// ```
/// use mycelium_core::U256;
///
/// let price = U256::from(79_228_162_514_264_337_593_543_950_336);
/// assert_eq!(price.to_string(), "79228162514264337593543950336");
/// assert_eq!(U256::from_be_bytes(price.to_be_bytes()), price);
/// ```
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct U256([u8; 32]);

impl U256 {
    /// 0.
    pub const ZERO: Self = Self([0; 32]);
    /// The largest number.
    pub const MAX: Self = Self([u8::MAX; 32]);

    /// Creates the number from its bytes, the least significant one first.
    #[inline]
    #[must_use]
    pub const fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Creates the number from its bytes, the most significant one first.
    #[inline]
    #[must_use]
    pub fn from_be_bytes(mut bytes: [u8; 32]) -> Self {
        bytes.reverse();
        Self(bytes)
    }

    /// Returns the number's bytes, the least significant one first.
    #[inline]
    #[must_use]
    pub const fn to_le_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Returns the number's bytes, the most significant one first.
    #[inline]
    #[must_use]
    pub fn to_be_bytes(mut self) -> [u8; 32] {
        self.0.reverse();
        self.0
    }
}

impl PartialOrd for U256 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for U256 {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_be_bytes().cmp(&other.to_be_bytes())
    }
}

impl From<u128> for U256 {
    fn from(number: u128) -> Self {
        let mut bytes = [0; 32];
        if let Some(low) = bytes.first_chunk_mut() {
            *low = number.to_le_bytes();
        }
        Self(bytes)
    }
}

impl fmt::Display for U256 {
    /// Writes the number in decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut digits) = (self.to_be_bytes(), [b'0'; DIGITS]);
        let mut first = DIGITS - 1;
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            if rest == [0; 32] {
                break;
            }
            // Each round is one division by 10.
            let mut remainder = 0;
            for byte in &mut rest {
                let number = remainder << 8 | u16::from(*byte);
                (*byte, remainder) = ((number / 10) as u8, number % 10);
            }
            (*digit, first) = (b'0' + remainder as u8, place);
        }
        let digits = digits.get(first..).and_then(|digits| core::str::from_utf8(digits).ok());
        f.pad_integral(true, "", digits.unwrap_or_default())
    }
}

impl fmt::Debug for U256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The size of the count before a text or a list of bounded length.
const COUNT: usize = size_of::<u16>();

/// Returns the count of a text or a list of bounded length.
#[inline]
fn count_of(at: usize, capacity: usize, message: &Bodies<'_>) -> Result<usize, Invalid> {
    let found = usize::from(u16::from_le_bytes(message.part(at)?));
    if found > capacity {
        return Err(Invalid::unnamed(InvalidReason::Count { capacity, found }));
    }
    Ok(found)
}

// SAFETY: 32 bytes, for which all values are valid, without padding.
unsafe impl Field for U256 {
    const TYPE: FieldType = FieldType::U256;
    const SIZE: usize = size_of::<Self>();
    const ALIGN: usize = 1;
    type Form = IsFixed<true>;
    type View<'a> = Self;

    #[inline(always)]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        message.write(at, bytes_of(self));
    }

    #[inline(always)]
    fn check(_: usize, _: &mut Bodies<'_>) -> Result<(), Invalid> {
        Ok(())
    }

    #[inline(always)]
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> Self {
        // SAFETY: this function's contract.
        unsafe { Self::read(message, at) }
    }

    #[inline(always)]
    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        // SAFETY: this function's contract.
        unsafe { message.copy(at) }
    }
}

// SAFETY: fixed.
unsafe impl Fixed for U256 {
    const EMPTY: Self = U256::ZERO;
}
