//! Checking bytes: one pass over a message, before anything is read through it; and what may be
//! done with bytes that were checked.

// Only fields on the heap have bodies.
#![cfg_attr(not(feature = "alloc"), allow(dead_code))]
#![allow(unsafe_code)]

use core::mem::{MaybeUninit, align_of, size_of};
use core::slice;

use super::encode::ALIGNMENT;
use crate::error::{Invalid, InvalidReason};

/// The bytes of a message that is being checked, and how far its bodies were seen.
///
/// Each body must begin where the one before it ended. So every value has one encoding, no byte
/// belongs to two fields, and the check takes time in proportion to the bytes that are there, not
/// to the lengths that they claim.
#[derive(Debug)]
pub struct Bodies<'a> {
    bytes: &'a [u8],
    /// The end of the bodies that were seen.
    end: usize,
    /// Whether bytes that mean nothing must be zero. In a fixed message they may have any value.
    is_strict: bool,
}

impl<'a> Bodies<'a> {
    /// Begins with a message whose bodies follow `part` bytes.
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8], part: usize, is_strict: bool) -> Self {
        Self { bytes, end: part, is_strict }
    }

    /// Returns bytes of a part.
    ///
    /// # Errors
    /// If the message ends before.
    #[inline(always)]
    pub fn part<const N: usize>(&self, at: usize) -> Result<[u8; N], Invalid> {
        let part = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        part.copied().ok_or_else(|| self.too_short(at.saturating_add(N)))
    }

    /// Returns the bytes as checked: whoever reads a field has checked it.
    #[doc(hidden)]
    #[must_use]
    pub fn seen(&self) -> Checked<'a> {
        Checked::new(self.bytes)
    }

    /// Checks that the message ends with its last body.
    pub(super) fn finish(&self) -> Result<(), Invalid> {
        if self.bytes.len() == self.end {
            return Ok(());
        }
        Err(self.too_short(self.end))
    }

    /// Checks the bytes of a fixed value that are not in use: they are zero, unless the message is
    /// fixed.
    ///
    /// # Errors
    /// Names the first byte that is not.
    #[inline(always)]
    pub fn check_unused(&self, from: usize, to: usize) -> Result<(), Invalid> {
        if self.is_strict { self.check_zeros(from, to) } else { Ok(()) }
    }

    /// Does the same for items of a list, which must be the bytes of an `empty` one.
    #[inline(always)]
    pub(crate) fn check_unused_items(
        &self,
        at: usize,
        count: usize,
        empty: &[u8],
    ) -> Result<(), Invalid> {
        let place = |index| at + index * empty.len();
        let is_unused =
            |index| self.bytes.get(place(index)..place(index) + empty.len()) == Some(empty);
        match (0..count).find(|index| self.is_strict && !is_unused(*index)) {
            None => Ok(()),
            Some(index) => Err(Invalid::unnamed(InvalidReason::Padding { at: place(index) })),
        }
    }

    /// Checks that these bytes of a part are zero.
    ///
    /// # Errors
    /// Names the first byte that is not.
    #[inline]
    pub fn check_zeros(&self, from: usize, to: usize) -> Result<(), Invalid> {
        if from >= to {
            return Ok(());
        }
        let bytes = self.bytes.get(from..to).ok_or_else(|| self.too_short(to))?;
        match bytes.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(place) => Err(Invalid::unnamed(InvalidReason::Padding { at: from + place })),
        }
    }

    /// Checks that these bytes are UTF-8.
    #[inline]
    pub(crate) fn check_text(&self, at: usize, len: usize) -> Result<(), Invalid> {
        let to = at.saturating_add(len);
        let bytes = self.bytes.get(at..to).ok_or_else(|| self.too_short(to))?;
        match core::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(Invalid::unnamed(InvalidReason::Utf8 { valid_up_to: error.valid_up_to() }))
            }
        }
    }

    /// Checks the place and the length of the body of the field whose part is at `at`, with items
    /// of `size` bytes. Returns its place and its number of items.
    #[inline]
    pub(super) fn body(&mut self, at: usize, size: usize) -> Result<(usize, usize), Invalid> {
        let number = |at| self.part(at).map(|bytes| u32::from_le_bytes(bytes) as usize);
        let (found, count) = (number(at)?, number(at + 4)?);
        let place = if count == 0 { 0 } else { self.end.next_multiple_of(ALIGNMENT) };
        if found != place {
            return Err(Invalid::unnamed(InvalidReason::Place { expected: place, found }));
        }
        if count > 0 {
            let end = count.checked_mul(size).and_then(|len| len.checked_add(place));
            let end = end.filter(|end| *end <= self.bytes.len());
            let end = end.ok_or_else(|| self.too_short(usize::MAX))?;
            self.check_zeros(self.end, place)?;
            self.end = end;
        }
        Ok((place, count))
    }

    /// Returns the bytes of a list of bytes, whose part is at `at`.
    ///
    /// # Errors
    /// If its body is not where it must be.
    #[inline]
    pub fn list(&mut self, at: usize) -> Result<&'a [u8], Invalid> {
        let (place, len) = self.body(at, 1)?;
        Ok(self.seen().bytes(place, len))
    }

    #[cold]
    fn too_short(&self, expected: usize) -> Invalid {
        Invalid::unnamed(InvalidReason::Length { expected, found: self.bytes.len() })
    }
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

    /// Returns the bytes of a list of bytes, whose part is at `at`.
    #[inline]
    #[must_use]
    pub fn list(self, at: usize) -> &'a [u8] {
        let (place, len) = self.body(at);
        self.bytes(place, len)
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
    /// `T` is fixed, and its `Field::check` has accepted the bytes at this place.
    #[inline(always)]
    pub unsafe fn copy<T>(self, at: usize) -> T {
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
    /// `T` is fixed, and its `Field::check` has accepted the bytes at this place.
    #[inline]
    pub(crate) unsafe fn borrow<T>(self, at: usize) -> &'a T {
        // SAFETY: this function's contract.
        unsafe { &self.slice(at, 1)[0] }
    }

    /// Borrows `count` consecutive fixed values.
    ///
    /// # Safety
    /// `T` is fixed, and its `Field::check` has accepted the bytes of each.
    #[inline]
    pub(super) unsafe fn slice<T>(self, at: usize, count: usize) -> &'a [T] {
        let Some(len) = count.checked_mul(size_of::<T>()) else { return &[] };
        let bytes = self.bytes(at, len);
        let start = bytes.as_ptr().cast::<T>();
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
