//! The rings for items: for one writer and one reader in both layouts, and for many of both.

use std::slice;
use std::sync::Arc;

use mycelium_core::ring::mpmc::{self, Mpmc};
use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::ring::stamped;

use crate::ends::{CAPACITY, Ends, Pop, Push, tried};
use crate::sample::Item;

pub(crate) const INDEX: &str = "our spsc";
pub(crate) const STAMPED: &str = "our stamped";
pub(crate) const SLICES: &str = "our spsc slices";
pub(crate) const MPMC: &str = "our mpmc";
pub(crate) const MPMC_BATCHES: &str = "our mpmc batches";

tried!([T: Item] T;
    spsc::Producer<Arc<spsc::Boxed<T>>>: |end, item| end.try_push(*item).is_ok(),
        |items| end.push_slice(items).unwrap_or(0);
    spsc::Consumer<Arc<spsc::Boxed<T>>>: |end| end.try_pop().ok());
tried!([T: Item] T;
    spsc::Producer<Arc<stamped::Boxed<T>>>: |end, item| end.try_push(*item).is_ok();
    spsc::Consumer<Arc<stamped::Boxed<T>>>: |end| end.try_pop().ok());
tried!([T: Item] T;
    mpmc::Producer<Arc<mpmc::Boxed<T>>>: |end, item| end.try_push(*item).is_ok(),
        |items| end.push_slice(items).unwrap_or(0);
    mpmc::Consumer<Arc<mpmc::Boxed<T>>>: |end| end.try_pop().ok(),
        |most, read| end.pop_many(most, |item| read(slice::from_ref(&item))).unwrap_or(0));

const FITS: &str = "the capacity is a power of two";
const FRESH: &str = "both ends of a fresh ring are free";

/// Both ends of a fresh ring for one writer and one reader.
macro_rules! ends {
    ($name:expr, $layout:ident, $capacity:expr) => {{
        let ring = Arc::new($layout::Boxed::with_capacity($capacity).expect(FITS));
        let sender = Spsc::producer(ring.clone()).expect(FRESH);
        Ends::new($name, (sender, Spsc::consumer(ring).expect(FRESH)))
    }};
}

pub(crate) fn index<T: Item, const N: usize>() -> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    ends!(INDEX, spsc, N)
}

pub(crate) fn stamped<T: Item, const N: usize>() -> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    ends!(STAMPED, stamped, N)
}

/// Copies batches to the caller's memory.
pub(crate) struct Slices<T> {
    end: spsc::Consumer<Arc<spsc::Boxed<T>>>,
    buffer: Box<[T]>,
}

impl<T: Item> Pop for Slices<T> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        self.end.pop(read)
    }

    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let count = self.end.pop_slice(&mut self.buffer[..most]).unwrap_or(0);
        read(&self.buffer[..count]);
        count
    }
}

pub(crate) fn slices<T: Item>() -> Ends<impl Push<Item = T>, impl Pop<Item = T>> {
    let Ends { name, sender, receiver } = ends!(SLICES, spsc, CAPACITY);
    let buffer = vec![T::default(); CAPACITY].into();
    Ends::new(name, (sender, Slices { end: receiver, buffer }))
}

/// For many writers and readers, one by one or by batch claims.
pub(crate) fn mpmc<T: Item>(
    name: &'static str,
) -> Ends<impl Push<Item = T> + Clone, impl Pop<Item = T> + Clone> {
    let ring = Arc::new(mpmc::Boxed::with_capacity(CAPACITY).expect(FITS));
    Ends::new(name, (Mpmc::producer(ring.clone()), Mpmc::consumer(ring)))
}
