//! Our ends: rings for items, each behind the traits that they have in common; the broadcast ring; topics.

pub(crate) mod broadcast;
pub(crate) mod channel;
pub(crate) mod mpmc;
pub(crate) mod spsc;
pub(crate) mod topic;

use mycelium_core::ring;

use crate::ends::{Pop, Push};
use crate::item::Item;

/// An end of any of our rings for items.
#[derive(Clone)]
pub(crate) struct Ours<E>(E);

impl<E: ring::Producer<Item: Item> + Send> Push for Ours<E> {
    type Item = E::Item;

    #[inline]
    fn push(&mut self, item: &E::Item) -> bool {
        self.0.try_push(*item).is_ok()
    }
}

impl<E: ring::Consumer<Item: Item> + Send> Pop for Ours<E> {
    type Item = E::Item;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&E::Item) -> R) -> Option<R> {
        self.0.try_pop().ok().map(|item| read(&item))
    }
}
