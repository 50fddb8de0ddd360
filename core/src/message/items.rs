//! [`Items`]: a list that is read in place, item by item.

#![allow(unsafe_code)]

use core::{fmt, iter::FusedIterator, marker::PhantomData};

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
