//! [`Entries`]: a map that is read in place.

use core::{cmp::Ordering, fmt, iter::FusedIterator};

use super::field::{Field, Items};

/// The entries of a map in a checked message, in the order of their keys. Iterates over the views
/// of keys and values.
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
