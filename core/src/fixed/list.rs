//! [`FixedVec`]: a list that is stored in place.

#![allow(unsafe_code)]

use core::{
    fmt,
    hash::{Hash, Hasher},
    iter::{self, FusedIterator},
    slice,
};

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes, Unalign, Unaligned};

use super::{COUNT, ItemCount, NoRoom, TooMany, count_of};
use crate::{
    descriptor::FieldType,
    error::Invalid,
    message::{Bodies, Checked, Encoder, Field, Fixed, IsFixed},
};

/// A list of at most `N` items, stored in place: a `u16` count, then room for `N` items, without
/// alignment. `N` is at most 65535.
///
/// Items are copied out, because they may be unaligned. Items without alignment, such as bytes, can
/// also be borrowed with [`as_slice`](Self::as_slice).
///
/// # Examples
///
/// ```
/// use mycelium_core::FixedVec;
///
/// let mut prices = FixedVec::<u64, 3>::try_from(&[101, 102][..])?;
/// prices.try_push(103)?;
/// assert!(prices.try_push(104).is_err());
/// assert_eq!(prices.iter().sum::<u64>(), 306);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FixedVec<T: Copy, const N: usize> {
    count: ItemCount,
    items: [Unalign<T>; N],
}

impl<T: Fixed, const N: usize> FixedVec<T, N> {
    pub(crate) const FITS: () =
        assert!(N <= u16::MAX as usize, "a FixedVec has room for 65535 items at most");

    /// Creates an empty list.
    #[inline]
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self { count: ItemCount::ZERO, items: [const { Unalign::new(T::EMPTY) }; N] }
    }

    /// Creates a list of these items.
    ///
    /// # Errors
    ///
    /// If there are more than `N`.
    pub fn from_slice(items: &[T]) -> Result<Self, TooMany> {
        let mut this = Self::new();
        let Some(room) = this.items.get_mut(..items.len()) else {
            return Err(TooMany { capacity: N, found: items.len() });
        };
        for (slot, item) in room.iter_mut().zip(items) {
            slot.set(*item);
        }
        this.count = ItemCount::new(items.len());
        Ok(this)
    }

    /// Appends an item.
    ///
    /// # Errors
    ///
    /// Returns the item if the list is full.
    #[inline]
    pub fn try_push(&mut self, item: T) -> Result<(), NoRoom<T>> {
        let len = self.len();
        let Some(slot) = self.items.get_mut(len) else {
            return Err(NoRoom(item));
        };
        slot.set(item);
        self.count = ItemCount::new(len + 1);
        Ok(())
    }

    /// Removes and returns the last item. Its place in the list is overwritten with the empty value
    /// (zeros for numbers).
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let last = self.len().checked_sub(1)?;
        let slot = self.items.get_mut(last)?;
        let item = slot.get();
        slot.set(T::EMPTY);
        self.count = ItemCount::new(last);
        Some(item)
    }

    /// Returns the item at `index`, or `None` if the list is shorter.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        self.used().get(index).map(Unalign::get)
    }

    /// Iterates over the items in order.
    #[inline]
    pub fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + FusedIterator + Clone {
        self.used().iter().map(Unalign::get)
    }

    /// Borrows the items in place.
    #[inline]
    pub fn as_slice(&self) -> &[T]
    where
        T: TryFromBytes + IntoBytes + Immutable + Unaligned,
    {
        // Each item is a valid value, so this cannot fail. For bytes, the compiler removes the
        // check.
        <[T]>::try_ref_from_bytes(self.used().as_bytes()).unwrap_or(&[])
    }

    /// Removes all items and overwrites them with the empty value.
    #[inline]
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<T: Copy, const N: usize> FixedVec<T, N> {
    /// Returns the number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.count.clamped(N)
    }

    /// Returns whether the list is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the capacity in items.
    #[inline]
    pub const fn capacity(&self) -> usize {
        N
    }

    #[inline]
    fn used(&self) -> &[Unalign<T>] {
        self.items.get(..self.len()).unwrap_or(&self.items)
    }
}

impl<'a, T: Fixed, const N: usize> IntoIterator for &'a FixedVec<T, N> {
    type Item = T;
    type IntoIter = iter::Map<slice::Iter<'a, Unalign<T>>, fn(&Unalign<T>) -> T>;

    fn into_iter(self) -> Self::IntoIter {
        self.used().iter().map(Unalign::get)
    }
}

impl<T: Fixed, const N: usize> Default for FixedVec<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Fixed, const N: usize> TryFrom<&[T]> for FixedVec<T, N> {
    type Error = TooMany;

    fn try_from(items: &[T]) -> Result<Self, TooMany> {
        Self::from_slice(items)
    }
}

impl<T: Fixed + fmt::Debug, const N: usize> fmt::Debug for FixedVec<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T: Fixed + fmt::Display, const N: usize> fmt::Display for FixedVec<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, item) in self.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            item.fmt(f)?;
        }
        f.write_str("]")
    }
}

impl<T: Fixed + PartialEq, const N: usize, const K: usize> PartialEq<FixedVec<T, K>>
    for FixedVec<T, N>
{
    fn eq(&self, other: &FixedVec<T, K>) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Fixed + Eq, const N: usize> Eq for FixedVec<T, N> {}

impl<T: Fixed + Hash, const N: usize> Hash for FixedVec<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|item| item.hash(state));
    }
}

// SAFETY: every item is checked, also those that are not in use; the alignment is 1, so the type
// has no padding.
unsafe impl<T: Fixed, const N: usize> Field for FixedVec<T, N> {
    const TYPE: FieldType = {
        let () = Self::FITS;
        FieldType::List { item: &T::TYPE, capacity: N }
    };
    const SIZE: usize = COUNT + N * T::SIZE;
    const ALIGN: usize = 1;
    const HAS_UNUSED: bool = true;
    type Form = IsFixed<true>;
    type View<'a> = &'a Self;

    #[inline]
    fn encode(&self, at: usize, message: &mut Encoder<'_>) {
        message.write(at, &(self.len() as u16).to_le_bytes());
        for index in 0..N {
            let item = self.get(index).unwrap_or(T::EMPTY);
            item.encode(at + COUNT + index * T::SIZE, message);
        }
    }

    #[inline]
    fn check(at: usize, message: &mut Bodies<'_>) -> Result<(), Invalid> {
        let count = count_of(at, N, message)?;
        (0..N).try_for_each(|index| T::check(at + COUNT + index * T::SIZE, message))?;
        let unused = at + COUNT + count * T::SIZE;
        message.check_unused_items(unused, N - count, T::EMPTY.encoded())
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

// SAFETY: fixed, as its items are.
unsafe impl<T: Fixed, const N: usize> Fixed for FixedVec<T, N> {
    const EMPTY: Self = Self::new();
}
