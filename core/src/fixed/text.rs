//! [`FixedStr`]: text that is stored in place.

#![allow(unsafe_code)]

use core::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    str,
};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{COUNT, ItemCount, TooLong, count_of};
use crate::{
    descriptor::FieldType,
    error::Invalid,
    message::{Bodies, Checked, Encoder, Field, Fixed, IsFixed},
};

/// Text of at most `N` bytes, stored in place: `2 + N` bytes, without alignment. `N` is at most
/// 65535.
///
/// # Examples
///
/// ```
/// use mycelium_core::FixedStr;
///
/// let symbol: FixedStr<8> = "ETH/USD".try_into()?;
/// assert_eq!(symbol.as_str(), "ETH/USD");
/// assert!(FixedStr::<4>::try_from("ETH/USD").is_err());
/// # Ok::<(), mycelium_core::TooLong>(())
/// ```
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FixedStr<const N: usize> {
    count: ItemCount,
    bytes: [u8; N],
}

impl<const N: usize> FixedStr<N> {
    pub(crate) const FITS: () =
        assert!(N <= u16::MAX as usize, "a FixedStr has room for 65535 bytes at most");

    /// Creates an empty text.
    #[inline]
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self { count: ItemCount::ZERO, bytes: [0; N] }
    }

    /// Creates a text from `text`, and cuts it between two characters if it does not fit.
    pub fn truncated(text: &str) -> Self {
        let mut this = Self::new();
        // Cannot fail, because this part fits.
        _ = this.try_push_str(&text[..text.floor_char_boundary(N)]);
        this
    }

    /// Returns the text, up to the first byte that is not UTF-8 (a decoded message has none). Takes
    /// time in proportion to the length.
    #[inline]
    pub fn as_str(&self) -> &str {
        let bytes = self.as_raw_bytes();
        match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                bytes.get(..error.valid_up_to()).and_then(|b| str::from_utf8(b).ok()).unwrap_or("")
            }
        }
    }

    /// Returns the bytes of the text, without a check for UTF-8.
    #[inline]
    pub fn as_raw_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or(&self.bytes)
    }

    /// Returns the number of bytes in use.
    #[inline]
    pub fn len(&self) -> usize {
        self.count.clamped(N)
    }

    /// Returns whether the text is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the capacity in bytes.
    #[inline]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Appends the whole `text`, or nothing.
    ///
    /// # Errors
    ///
    /// If it does not fit.
    pub fn try_push_str(&mut self, text: &str) -> Result<(), TooLong> {
        let old = self.len();
        let len = old.saturating_add(text.len());
        let Some(room) = self.bytes.get_mut(old..len) else {
            return Err(TooLong { capacity: N, found: len });
        };
        room.copy_from_slice(text.as_bytes());
        self.count = ItemCount::new(len);
        Ok(())
    }

    /// Removes the text and overwrites its bytes with zeros.
    #[inline]
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<const N: usize> Default for FixedStr<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> TryFrom<&str> for FixedStr<N> {
    type Error = TooLong;

    fn try_from(text: &str) -> Result<Self, TooLong> {
        let mut this = Self::new();
        this.try_push_str(text)?;
        Ok(this)
    }
}

impl<const N: usize> str::FromStr for FixedStr<N> {
    type Err = TooLong;

    fn from_str(text: &str) -> Result<Self, TooLong> {
        Self::try_from(text)
    }
}

impl<const N: usize> Deref for FixedStr<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> AsRef<str> for FixedStr<N> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// Used by `write!`. Fails and writes nothing if the text does not fit.
impl<const N: usize> fmt::Write for FixedStr<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_push_str(text).map_err(|_| fmt::Error)
    }
}

impl<const N: usize> fmt::Display for FixedStr<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for FixedStr<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize, const K: usize> PartialEq<FixedStr<K>> for FixedStr<N> {
    fn eq(&self, other: &FixedStr<K>) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for FixedStr<N> {}

impl<const N: usize> PartialOrd for FixedStr<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for FixedStr<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl<const N: usize> PartialEq<str> for FixedStr<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl<const N: usize> PartialEq<&str> for FixedStr<N> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl<const N: usize> Hash for FixedStr<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

// SAFETY: the bytes of the text that are in use are checked; all others may have any value, and
// the alignment is 1, so the type has no padding.
unsafe impl<const N: usize> Field for FixedStr<N> {
    const TYPE: FieldType = {
        let () = Self::FITS;
        FieldType::Text { capacity: N }
    };
    const SIZE: usize = COUNT + N;
    const ALIGN: usize = 1;
    const HAS_UNUSED: bool = true;
    type Form = IsFixed<true>;

    type View<'a> = &'a Self;

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        let text = self.as_raw_bytes();
        message.write(at, &(text.len() as u16).to_le_bytes());
        message.write(at + COUNT, text);
    }

    #[inline]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        let len = count_of(at, N, message)?;
        message.check_text(at + COUNT, len)?;
        message.check_unused(at + COUNT + len, at + Self::SIZE)
    }

    #[inline]
    unsafe fn view<'a>(message: Checked<'a>, at: usize) -> &'a Self {
        // SAFETY: this function's contract.
        unsafe { message.borrow(at) }
    }

    #[inline]
    unsafe fn read(message: Checked<'_>, at: usize) -> Self {
        // SAFETY: this function's contract.
        unsafe { message.copy(at) }
    }
}

// SAFETY: fixed.
unsafe impl<const N: usize> Fixed for FixedStr<N> {
    const EMPTY: Self = Self::new();
}
