//! Padding as fields, for `#[message(.., pad)]`.

use core::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{
    descriptor::{FieldDescriptor, FieldType},
    error::Invalid,
    message::Field,
};

/// `N` bytes without a meaning. A writer sets them to zero, a reader ignores them: all values are
/// equal.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
pub struct Pad<const N: usize>([u8; N]);

impl<const N: usize> Pad<N> {
    /// Zeros.
    pub const ZERO: Self = Self([0; N]);
}

impl<const N: usize> Field for Pad<N> {
    const TYPE: FieldType = <[u8; N]>::TYPE;
    const EMPTY: Self = Self::ZERO;

    #[inline]
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl<const N: usize> Default for Pad<N> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<const N: usize> PartialEq for Pad<N> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<const N: usize> Eq for Pad<N> {}

impl<const N: usize> PartialOrd for Pad<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Pad<N> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl<const N: usize> Hash for Pad<N> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<const N: usize> fmt::Debug for Pad<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// The padding before a field of this alignment, after fields of these sizes and alignments.
#[must_use]
pub const fn gap(before: &[(usize, usize)], align: usize) -> usize {
    let (mut end, mut index) = (0_usize, 0);
    while index < before.len() {
        let (size, align) = before[index];
        end = end.next_multiple_of(align) + size;
        index += 1;
    }
    end.next_multiple_of(align) - end
}

/// The padding at the end of a struct.
#[must_use]
pub const fn gap_at_end(fields: &[(usize, usize)]) -> usize {
    let (mut most, mut index) = (1, 0);
    while index < fields.len() {
        if fields[index].1 > most {
            most = fields[index].1;
        }
        index += 1;
    }
    gap(fields, most)
}

/// How many fields are not padding of no bytes.
#[must_use]
pub const fn count_without_empty(fields: &[FieldDescriptor], is_pad: &[bool]) -> usize {
    let (mut count, mut index) = (0, 0);
    while index < fields.len() {
        if !(is_pad[index] && fields[index].size == 0) {
            count += 1;
        }
        index += 1;
    }
    count
}

/// The fields that are not padding of no bytes. `N` is their count.
#[must_use]
pub const fn without_empty<const N: usize>(
    fields: &[FieldDescriptor],
    is_pad: &[bool],
) -> [FieldDescriptor; N] {
    let mut kept = [fields[0]; N];
    let (mut count, mut index) = (0, 0);
    while index < fields.len() {
        if !(is_pad[index] && fields[index].size == 0) {
            kept[count] = fields[index];
            count += 1;
        }
        index += 1;
    }
    kept
}
