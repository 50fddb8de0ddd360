//! The ring with a lane for each writer: in order per writer only, which its columns say in their names.

use std::slice;
use std::sync::Arc;

use mycelium_core::ring::lanes::{Boxed, Consumer, Lanes, Producer};

use crate::ends::{CAPACITY, PopMany, PushMany};
use crate::item::Item;
use crate::ours::Ours;

pub(crate) const ONE_BY_ONE: &str = "our lanes (FIFO per producer only)";
pub(crate) const BATCHES: &str = "our lanes batches (FIFO per producer only)";

/// So many ends of either kind. All lanes together have room for as many items as another ring.
pub(crate) fn ends<T: Item>(
    senders: usize,
    receivers: usize,
) -> (Vec<impl PushMany<Item = T>>, Vec<impl PopMany<Item = T>>) {
    let ring = Boxed::with_capacity(senders, CAPACITY / senders);
    let ring = Arc::new(ring.expect("a power of two for each lane"));
    let sender = || Ours(Lanes::producer(ring.clone()).expect("there is a lane for each"));
    let receiver = || Ours(Lanes::consumer(ring.clone()));
    let senders = std::iter::repeat_with(sender).take(senders).collect();
    (senders, std::iter::repeat_with(receiver).take(receivers).collect())
}

impl<T: Item> PushMany for Ours<Producer<Arc<Boxed<T>>>> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        self.0.push_slice(items)
    }
}

impl<T: Item> PopMany for Ours<Consumer<Arc<Boxed<T>>>> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        self.0.pop_many(most, |item| read(slice::from_ref(&item))).unwrap_or(0)
    }
}
