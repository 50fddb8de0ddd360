//! [`U256`]: an integer that no primitive type holds.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{descriptor::FieldType, error::Invalid, message::Field};

/// The most digits of a [`U256`].
const DIGITS: usize = 78;

/// An unsigned integer of 256 bits: 32 bytes, little-endian, without alignment. It is a number for
/// tools; a program computes with a type of its own.
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

    /// The number of these bytes, the least significant one first.
    #[inline]
    #[must_use]
    pub const fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The number of these bytes, the most significant one first.
    #[inline]
    #[must_use]
    pub fn from_be_bytes(mut bytes: [u8; 32]) -> Self {
        bytes.reverse();
        Self(bytes)
    }

    /// Its bytes, the least significant one first.
    #[inline]
    #[must_use]
    pub const fn to_le_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Its bytes, the most significant one first.
    #[inline]
    #[must_use]
    pub fn to_be_bytes(mut self) -> [u8; 32] {
        self.0.reverse();
        self.0
    }
}

impl Field for U256 {
    const TYPE: FieldType = FieldType::U256;
    const EMPTY: U256 = U256::ZERO;

    #[inline]
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
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
    /// In decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut digits) = (self.to_be_bytes(), [b'0'; DIGITS]);
        let mut first = DIGITS - 1;
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            if rest == [0; 32] {
                break;
            }
            // One division by 10.
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
