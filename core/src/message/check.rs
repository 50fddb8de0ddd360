//! Checking bytes: one pass over a message, before anything is read through it.

// Only fields on the heap have bodies.
#![cfg_attr(not(feature = "alloc"), allow(dead_code))]

use super::{Checked, Field, Fixed, encode::ALIGNMENT};
use crate::error::{Invalid, InvalidReason};

/// The bytes of a message that is being checked, and how far its bodies were seen.
///
/// Each body must begin where the one before it ended. So every value has one encoding, no byte
/// belongs to two fields, and the check takes time in proportion to the bytes that are there, not to
/// the lengths that they claim.
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
    pub(super) fn new(bytes: &'a [u8], part: usize, is_strict: bool) -> Self {
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
    pub(super) fn seen(&self) -> Checked<'a> {
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

    /// Does the same for the items of a list.
    #[inline(always)]
    pub(super) fn check_unused_items<T: Fixed>(&self, at: usize, n: usize) -> Result<(), Invalid> {
        let is_unused = |index| {
            let place = at + index * T::SIZE;
            self.bytes.get(place..place + T::SIZE) == Some(T::EMPTY.encoded())
        };
        match (0..n).find(|index| self.is_strict && !is_unused(*index)) {
            None => Ok(()),
            Some(index) => {
                Err(Invalid::unnamed(InvalidReason::Padding { at: at + index * T::SIZE }))
            }
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
    pub(super) fn check_text(&self, at: usize, len: usize) -> Result<(), Invalid> {
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

    /// Checks a list.
    #[inline]
    pub(super) fn list<T: Field>(&mut self, at: usize) -> Result<(usize, usize), Invalid> {
        let (place, count) = self.body(at, T::SIZE)?;
        (0..count).try_for_each(|index| T::check(place + index * T::SIZE, self))?;
        Ok((place, count))
    }

    #[cold]
    fn too_short(&self, expected: usize) -> Invalid {
        Invalid::unnamed(InvalidReason::Length { expected, found: self.bytes.len() })
    }
}
