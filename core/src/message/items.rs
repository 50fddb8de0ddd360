//! [`Items`]: a list that is read in place, item by item. [`Entries`]: a map.

#![allow(unsafe_code)]

use core::{cmp::Ordering, fmt, iter::FusedIterator, marker::PhantomData};

use super::{Checked, Field};

/// The items of a list in a checked message. Iterates over the views of its items.
pub struct Items<'a, T> {
    message: Checked<'a>,
    /// Where the part of the next item is.
    at: usize,
    /// The number of items left.
    left: usize,
    items: PhantomData<fn() -> T>,
}

impl<'a, T: Field> Items<'a, T> {
    /// Creates the items whose parts begin at `at`.
    ///
    /// # Safety
    /// [`Field::check`] of `T` accepted each of the items.
    pub(super) unsafe fn new(message: Checked<'a>, at: usize, count: usize) -> Self {
        Self { message, at, left: count, items: PhantomData }
    }

    /// Returns the number of items left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.left
    }

    /// Returns whether no items are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Returns the item at `index`, counted from the next one; `None` if there are fewer.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T::View<'a>> {
        // SAFETY: `check` accepted this item (the contract of `new`).
        (index < self.left).then(|| unsafe { T::view(self.message, self.at + index * T::SIZE) })
    }
}

impl<'a, T: Field> Iterator for Items<'a, T> {
    type Item = T::View<'a>;

    #[inline]
    fn next(&mut self) -> Option<T::View<'a>> {
        self.nth(0)
    }

    #[inline]
    fn nth(&mut self, index: usize) -> Option<T::View<'a>> {
        let item = self.get(index);
        let passed = index.saturating_add(1).min(self.left);
        (self.at, self.left) = (self.at + passed * T::SIZE, self.left - passed);
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: Field> ExactSizeIterator for Items<'a, T> {}
impl<'a, T: Field> FusedIterator for Items<'a, T> {}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Items<'_, T> {}

impl<'a, T: Field<View<'a>: fmt::Debug> + 'a> fmt::Debug for Items<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// The entries of a map in a checked message, in the order of their keys. Iterates over the views of
/// keys and values.
pub struct Entries<'a, K, V>(pub(super) Items<'a, (K, V)>);

impl<'a, K: Field, V: Field> Entries<'a, K, V> {
    /// Returns the number of entries left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether no entries are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a key, among the entries that are left. Takes time in proportion to the
    /// logarithm of their number.
    #[must_use]
    pub fn get(&self, key: K::View<'a>) -> Option<V::View<'a>>
    where
        K::View<'a>: PartialOrd,
    {
        let mut left = 0..self.len();
        while !left.is_empty() {
            let middle = left.start + left.len() / 2;
            let (found, value) = self.0.get(middle)?;
            match found.partial_cmp(&key)? {
                Ordering::Less => left.start = middle + 1,
                Ordering::Equal => return Some(value),
                Ordering::Greater => left.end = middle,
            }
        }
        None
    }
}

impl<'a, K: Field, V: Field> Iterator for Entries<'a, K, V> {
    type Item = (K::View<'a>, V::View<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<'a, K: Field, V: Field> ExactSizeIterator for Entries<'a, K, V> {}
impl<'a, K: Field, V: Field> FusedIterator for Entries<'a, K, V> {}

impl<K, V> Clone for Entries<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Entries<'_, K, V> {}

impl<'a, K, V> fmt::Debug for Entries<'a, K, V>
where
    K: Field<View<'a>: fmt::Debug> + 'a,
    V: Field<View<'a>: fmt::Debug> + 'a,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(*self).finish()
    }
}
