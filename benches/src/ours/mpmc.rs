//! The ring for many writers and many readers, one by one and by batch claims.

use std::slice;
use std::sync::Arc;

use mycelium_core::ring::mpmc::{Boxed, Consumer, Mpmc, Producer};

use crate::ends::{CAPACITY, Ends, PopMany, PushMany};
use crate::item::Item;
use crate::ours::Ours;

pub(crate) const ONE_BY_ONE: &str = "our mpmc";
pub(crate) const BATCHES: &str = "our mpmc batches";

pub(crate) fn ends<T: Item>(
    name: &'static str,
) -> Ends<impl PushMany<Item = T> + Clone, impl PopMany<Item = T> + Clone> {
    let ring = Arc::new(Boxed::with_capacity(CAPACITY).expect("a power of two"));
    let sender = Ours(Mpmc::producer(ring.clone()));
    Ends { name, sender, receiver: Ours(Mpmc::consumer(ring)) }
}

impl<T: Item> PushMany for Ours<Producer<Arc<Boxed<T>>>> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        self.0.push_slice(items).unwrap_or(0)
    }
}

impl<T: Item> PopMany for Ours<Consumer<Arc<Boxed<T>>>> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        self.0.pop_many(most, |item| read(slice::from_ref(&item))).unwrap_or(0)
    }
}
