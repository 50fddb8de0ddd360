//! The rings for items: for one writer and one reader in both layouts, and for many of both.

use std::slice;
use std::sync::Arc;

use mycelium_core::ring::mpmc::{self, Mpmc};
use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::ring::{self, stamped};

use crate::ends::{CAPACITY, Ends, Pop, PopMany, Push, PushMany};
use crate::sample::Item;

pub(crate) const INDEX: &str = "our spsc";
pub(crate) const STAMPED: &str = "our stamped";
pub(crate) const SLICES: &str = "our spsc slices";
pub(crate) const MPMC: &str = "our mpmc";
pub(crate) const MPMC_BATCHES: &str = "our mpmc batches";

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

const FITS: &str = "the capacity is a power of two";
const FRESH: &str = "both ends of a fresh ring are free";

/// Both ends of a fresh ring for one writer and one reader.
macro_rules! ends {
    ($name:expr, $layout:ident, $capacity:expr) => {{
        let ring = Arc::new($layout::Boxed::with_capacity($capacity).expect(FITS));
        let sender = Spsc::producer(ring.clone()).expect(FRESH);
        Ends::new($name, (Ours(sender), Ours(Spsc::consumer(ring).expect(FRESH))))
    }};
}

pub(crate) fn index<T: Item, const N: usize>() -> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    ends!(INDEX, spsc, N)
}

pub(crate) fn stamped<T: Item, const N: usize>() -> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    ends!(STAMPED, stamped, N)
}

impl<T: Item> PushMany for Ours<spsc::Producer<Arc<spsc::Boxed<T>>>> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        self.0.push_slice(items).unwrap_or(0)
    }
}

/// Copies batches to the caller's memory.
pub(crate) struct Slices<E, T> {
    end: E,
    buffer: Box<[T]>,
}

impl<E: Pop> Pop for Slices<E, E::Item> {
    type Item = E::Item;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&E::Item) -> R) -> Option<R> {
        self.end.pop(read)
    }
}

impl<T: Item> PopMany for Slices<Ours<spsc::Consumer<Arc<spsc::Boxed<T>>>>, T> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let count = self.end.0.pop_slice(&mut self.buffer[..most]).unwrap_or(0);
        read(&self.buffer[..count]);
        count
    }
}

pub(crate) fn slices<T: Item>() -> Ends<impl PushMany<Item = T>, impl PopMany<Item = T>> {
    let Ends { name, sender, receiver } = ends!(SLICES, spsc, CAPACITY);
    let buffer = vec![T::default(); CAPACITY].into();
    Ends::new(name, (sender, Slices { end: receiver, buffer }))
}

/// For many writers and readers, one by one or by batch claims.
pub(crate) fn mpmc<T: Item>(
    name: &'static str,
) -> Ends<impl PushMany<Item = T> + Clone, impl PopMany<Item = T> + Clone> {
    let ring = Arc::new(mpmc::Boxed::with_capacity(CAPACITY).expect(FITS));
    Ends::new(name, (Ours(Mpmc::producer(ring.clone())), Ours(Mpmc::consumer(ring))))
}

impl<T: Item> PushMany for Ours<mpmc::Producer<Arc<mpmc::Boxed<T>>>> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        self.0.push_slice(items).unwrap_or(0)
    }
}

impl<T: Item> PopMany for Ours<mpmc::Consumer<Arc<mpmc::Boxed<T>>>> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        self.0.pop_many(most, |item| read(slice::from_ref(&item))).unwrap_or(0)
    }
}
