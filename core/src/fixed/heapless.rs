//! Conversions from and to the texts and lists of `heapless`.

use super::{FixedStr, FixedVec};
use crate::message::Fixed;

impl<const N: usize> From<heapless::String<N>> for FixedStr<N> {
    fn from(text: heapless::String<N>) -> Self {
        // Cannot cut, because the capacities are equal.
        Self::truncated(&text)
    }
}

impl<const N: usize> From<FixedStr<N>> for heapless::String<N> {
    fn from(text: FixedStr<N>) -> Self {
        let mut this = Self::new();
        // Cannot fail, because the capacities are equal.
        _ = this.push_str(&text);
        this
    }
}

impl<T: Fixed, const N: usize> From<heapless::Vec<T, N>> for FixedVec<T, N> {
    fn from(items: heapless::Vec<T, N>) -> Self {
        let mut this = Self::new();
        // As above.
        items.iter().for_each(|item| _ = this.try_push(*item));
        this
    }
}

impl<T: Fixed, const N: usize> From<FixedVec<T, N>> for heapless::Vec<T, N> {
    fn from(items: FixedVec<T, N>) -> Self {
        let mut this = Self::new();
        // As above.
        items.iter().for_each(|item| _ = this.push(item));
        this
    }
}
