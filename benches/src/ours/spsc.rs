//! The ring for one writer and one reader, in both layouts.

use std::sync::Arc;

use mycelium_core::ring::spsc::{self, Consumer, Producer, Spsc};
use mycelium_core::ring::stamped;

use crate::ends::{CAPACITY, Ends, Pop, PopMany, Push, PushMany, Slices};
use crate::item::Item;
use crate::ours::Ours;

pub(crate) const INDEX: &str = "our spsc";
pub(crate) const STAMPED: &str = "our stamped";
pub(crate) const SLIPPING: &str = "our spsc slipping";
pub(crate) const STAMPED_SLIPPING: &str = "our stamped slipping";
pub(crate) const SLICES: &str = "our spsc slices";
pub(crate) const IN_PLACE: &str = "our spsc in place";

const FRESH: &str = "nobody has an end of a fresh ring";

/// Both ends of a fresh ring.
macro_rules! ends {
    ($layout:ident, $capacity:expr) => {{
        let ring = Arc::new($layout::Boxed::with_capacity($capacity).expect("a power of two"));
        let sender = Spsc::producer(ring.clone()).expect(FRESH);
        (Ours(sender), Ours(Spsc::consumer(ring).expect(FRESH)))
    }};
}

pub(crate) fn index<T: Item, const N: usize>() -> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    let (sender, receiver) = ends!(spsc, N);
    Ends { name: INDEX, sender, receiver }
}

/// Its reader leaves looks out while it is at the writer's heels.
pub(crate) fn slipping<T: Item, const N: usize>() -> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    let (sender, mut receiver) = ends!(spsc, N);
    receiver.0.slipping(true);
    Ends { name: SLIPPING, sender, receiver }
}

/// Reads batches where they lie.
pub(crate) fn in_place<T: Item>() -> Ends<impl PushMany<Item = T>, impl PopMany<Item = T>> {
    let (sender, receiver) = ends!(spsc, CAPACITY);
    Ends { name: IN_PLACE, sender, receiver }
}

pub(crate) fn stamped<T: Item, const N: usize>() -> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    let (sender, receiver) = ends!(stamped, N);
    Ends { name: STAMPED, sender, receiver }
}

/// As [`slipping`].
pub(crate) fn stamped_slipping<T: Item, const N: usize>()
-> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    let (sender, mut receiver) = ends!(stamped, N);
    receiver.0.slipping(true);
    Ends { name: STAMPED_SLIPPING, sender, receiver }
}

impl<T: Item> PushMany for Ours<Producer<Arc<spsc::Boxed<T>>>> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        self.0.push_slice(items).unwrap_or(0)
    }
}

impl<T: Item> PopMany for Ours<Consumer<Arc<spsc::Boxed<T>>>> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let Ok(items) = self.0.read(most) else { return 0 };
        let (before, after) = items.as_slices();
        read(before);
        read(after);
        let count = items.len();
        items.release(count);
        count
    }
}

/// Copies batches to and from the caller's memory.
pub(crate) fn slices<T: Item>() -> Ends<impl PushMany<Item = T>, impl PopMany<Item = T>> {
    let (sender, receiver) = ends!(spsc, CAPACITY);
    Ends { name: SLICES, sender: Slices::new(sender), receiver: Slices::new(receiver) }
}

impl<T: Item> PushMany for Slices<Ours<Producer<Arc<spsc::Boxed<T>>>>, T> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        self.end.push_many(items)
    }
}

impl<T: Item> PopMany for Slices<Ours<Consumer<Arc<spsc::Boxed<T>>>>, T> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let count = self.end.0.pop_slice(&mut self.buffer[..most]).unwrap_or(0);
        read(&self.buffer[..count]);
        count
    }
}
