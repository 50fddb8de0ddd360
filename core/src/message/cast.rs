//! The casts between fixed values and their bytes, and what may be done with bytes that were checked.

// Only fields on the heap have bodies.
#![cfg_attr(not(feature = "alloc"), allow(dead_code))]
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};
use core::slice;

#[cfg(feature = "alloc")]
use zerocopy::IntoBytes;

use super::{Bodies, Field, Fixed, Message, encode::ALIGNMENT};
use crate::error::{DecodeError, Invalid};

/// Returns the bytes of a value whose type is fixed.
#[inline(always)]
pub(super) fn bytes_of<T: Field>(value: &T) -> &[u8] {
    bytes_of_all(slice::from_ref(value))
}

/// Returns the bytes of values whose type is fixed.
#[inline(always)]
pub(super) fn bytes_of_all<T: Field>(values: &[T]) -> &[u8] {
    assert!(T::IS_FIXED, "only fixed values are their own encoding");
    // SAFETY: a fixed type has no padding and no interior mutability (the contract of `Field`), so
    // all its bytes are initialized and do not change while it is borrowed.
    unsafe { slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Checks a fixed value whose bytes came from elsewhere: the counts and the UTF-8 of texts.
pub(crate) fn check_value<T: Fixed>(value: &T) -> Result<(), Invalid> {
    T::check(0, &mut Bodies::new(bytes_of(value), T::SIZE, false))
}

/// The bytes of a message that were checked, from its first byte on. A message that is not fixed
/// begins at an address that is a multiple of 8.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a>(&'a [u8]);

impl<'a> Checked<'a> {
    /// Marks bytes as checked.
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns `len` bytes at this place; fewer if there are fewer.
    #[inline]
    pub(super) fn bytes(self, at: usize, len: usize) -> &'a [u8] {
        self.0.get(at..).map_or(&[], |rest| rest.get(..len).unwrap_or(rest))
    }

    /// Returns the place of a body, and its number of items.
    #[inline]
    pub(super) fn body(self, at: usize) -> (usize, usize) {
        let number = |at| {
            let bytes = self.bytes(at, 4).first_chunk();
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
        };
        (number(at), number(at + 4))
    }

    /// Returns the number of a variant.
    #[inline]
    pub fn variant(self, at: usize) -> u8 {
        self.bytes(at, 1).first().copied().unwrap_or_default()
    }

    /// Returns whether an `Option` has a value.
    #[inline]
    pub(super) fn is_some(self, at: usize) -> bool {
        self.bytes(at, 1) == [1]
    }

    /// Copies a fixed value out.
    ///
    /// # Safety
    /// [`Field::check`] of `T` has accepted the bytes at this place.
    #[inline(always)]
    pub unsafe fn copy<T: Field>(self, at: usize) -> T {
        assert!(T::IS_FIXED, "only a fixed value can be copied");
        let mut value = MaybeUninit::<T>::uninit();
        let bytes = self.bytes(at, size_of::<T>());
        assert!(bytes.len() == size_of::<T>(), "the bytes were checked");
        let start = value.as_mut_ptr().cast::<u8>();
        // SAFETY: both have the size of `T`, and a local value overlaps nothing.
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        // SAFETY: what was copied is a valid value, because it was checked (the contracts of this
        // function and of `Field`).
        unsafe { value.assume_init() }
    }

    /// Borrows a fixed value.
    ///
    /// # Safety
    /// [`Field::check`] of `T` has accepted the bytes at this place.
    #[inline]
    pub(super) unsafe fn borrow<T: Field>(self, at: usize) -> &'a T {
        // SAFETY: this function's contract.
        unsafe { &self.slice(at, 1)[0] }
    }

    /// Borrows `count` consecutive fixed values.
    ///
    /// # Safety
    /// [`Field::check`] of `T` has accepted the bytes of each.
    #[inline]
    pub(super) unsafe fn slice<T: Field>(self, at: usize, count: usize) -> &'a [T] {
        let Some(len) = count.checked_mul(size_of::<T>()) else { return &[] };
        let bytes = self.bytes(at, len);
        let start = bytes.as_ptr().cast::<T>();
        assert!(T::IS_FIXED, "only fixed values can be borrowed");
        let is_aligned = start.addr().is_multiple_of(align_of::<T>());
        assert!(bytes.len() == len && is_aligned, "the bytes were checked, and are aligned");
        // SAFETY: as long and as aligned as these values, and each is valid (the contracts of this
        // function and of `Field`). The bytes are borrowed for `'a`, and a fixed type has no
        // interior mutability.
        unsafe { slice::from_raw_parts(start, count) }
    }

    /// Borrows a text.
    ///
    /// # Safety
    /// The bytes were checked as UTF-8.
    #[inline]
    pub(super) unsafe fn text(self, at: usize, len: usize) -> &'a str {
        // SAFETY: this function's contract.
        unsafe { core::str::from_utf8_unchecked(self.bytes(at, len)) }
    }
}

/// A place in a checked message where the part of a `T` is.
#[derive(Debug)]
pub struct Place<'a, T> {
    message: Checked<'a>,
    at: usize,
    part: PhantomData<fn() -> T>,
}

impl<'a, T> Place<'a, T> {
    /// Names a place.
    ///
    /// # Safety
    /// [`Field::check`] of `T` has accepted the part at `at`.
    #[inline(always)]
    pub(super) unsafe fn new(message: Checked<'a>, at: usize) -> Self {
        Self { message, at, part: PhantomData }
    }

    /// Returns what reads a field of the `T` in place.
    ///
    /// # Safety
    /// `T` has a field of type `F` at this offset.
    #[inline(always)]
    pub unsafe fn field<F: Field>(self, offset: usize) -> F::View<'a> {
        // SAFETY: the `T` was checked, and so its field (the contracts of `new` and this function).
        unsafe { F::view(self.message, self.at + offset) }
    }
}

impl<T> Clone for Place<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<'_, T> {}

/// Checks the bytes and decodes the message.
#[inline(always)]
pub(super) fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    #[cfg(feature = "alloc")]
    if !M::IS_FIXED && !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        return decode_unaligned(bytes);
    }
    let message = check::<M>(bytes, if M::IS_FIXED { 1 } else { ALIGNMENT })?;
    // SAFETY: checked.
    Ok(unsafe { M::read(message, 0) })
}

/// Checks and decodes a copy of the bytes, which is aligned.
#[cfg(feature = "alloc")]
#[cold]
fn decode_unaligned<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut words = alloc::vec![0_u64; bytes.len().div_ceil(ALIGNMENT)];
    let copy = &mut words.as_mut_bytes()[..bytes.len()];
    copy.copy_from_slice(bytes);
    let message = check::<M>(copy, ALIGNMENT)?;
    // SAFETY: checked.
    Ok(unsafe { M::read(message, 0) })
}

/// Checks the bytes and returns what reads the message in place.
#[inline(always)]
pub(super) fn view<M: Message>(bytes: &[u8]) -> Result<M::View<'_>, DecodeError> {
    let message = check::<M>(bytes, if M::IS_FIXED { align_of::<M>() } else { ALIGNMENT })?;
    // SAFETY: checked.
    Ok(unsafe { M::view(message, 0) })
}

/// Checks the bytes and borrows a fixed message in place.
#[inline(always)]
pub(super) fn borrow<M: Message + Fixed>(bytes: &[u8]) -> Result<&M, DecodeError> {
    let message = check::<M>(bytes, align_of::<M>())?;
    // SAFETY: checked.
    Ok(unsafe { message.borrow(0) })
}

/// Checks the bytes and calls `with` with the message: in place if it is fixed and its bytes are
/// aligned, otherwise with a decoded one.
#[inline]
pub(super) fn with_message<M: Message, R>(
    bytes: &[u8],
    with: impl FnOnce(&M) -> R,
) -> Result<R, DecodeError> {
    if M::IS_FIXED && bytes.as_ptr().addr().is_multiple_of(align_of::<M>()) {
        let message = check::<M>(bytes, 1)?;
        // SAFETY: checked.
        return Ok(with(unsafe { message.borrow(0) }));
    }
    Ok(with(&decode(bytes)?))
}

/// Checks the bytes of a message, which begin at a multiple of `align`.
#[inline(always)]
fn check<M: Message>(bytes: &[u8], align: usize) -> Result<Checked<'_>, DecodeError> {
    let (message, found) = (M::DESCRIPTOR.name, bytes.len());
    if found < M::SIZE || found > M::MAX {
        let expected = if found < M::SIZE { M::SIZE } else { M::MAX };
        return Err(DecodeError::Size { message, expected, found });
    }
    if !bytes.as_ptr().addr().is_multiple_of(align) {
        return Err(DecodeError::Misaligned { message, expected: align });
    }
    let mut bodies = Bodies::new(bytes, M::SIZE, !M::IS_FIXED);
    M::check(0, &mut bodies)?;
    if !M::IS_FIXED {
        bodies.finish()?;
    }
    Ok(Checked(bytes))
}
