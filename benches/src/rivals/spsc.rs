//! Rings for one sender and one receiver beside rtrb: ringbuf, heapless' spsc, nexus-queue, disruptor.

use std::slice;

use disruptor::{
    BusySpin, EventPoller, MissingFreeSlots, Producer as _, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};
use heapless::spsc;
use nexus_queue::spsc as nexus;
use ringbuf::traits::{Consumer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::ends::{CAPACITY, Ends, Pop, PopMany, Push, PushMany, Slices};
use crate::item::Item;

pub(crate) const RINGBUF: &str = "ringbuf";
pub(crate) const RINGBUF_SLICES: &str = "ringbuf slices";
pub(crate) const HEAPLESS: &str = "heapless spsc";
pub(crate) const NEXUS: &str = "nexus-queue spsc";
pub(crate) const DISRUPTOR: &str = "disruptor";
pub(crate) const DISRUPTOR_BATCHES: &str = "disruptor batches";

/// ringbuf's end, under a name of its own because its traits have methods of the same names.
pub(crate) struct Ringbuf<E>(E);

impl<T: Item> Push for Ringbuf<HeapProd<T>> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        self.0.try_push(*item).is_ok()
    }
}

impl<T: Item> Pop for Ringbuf<HeapCons<T>> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.try_pop().map(|item| read(&item))
    }
}

impl<T: Item> PushMany for Slices<Ringbuf<HeapProd<T>>, T> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        self.end.0.push_slice(items)
    }
}

impl<T: Item> PopMany for Slices<Ringbuf<HeapCons<T>>, T> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let count = self.end.0.pop_slice(&mut self.buffer[..most]);
        read(&self.buffer[..count]);
        count
    }
}

pub(crate) fn ringbuf<T: Item>() -> Ends<Ringbuf<HeapProd<T>>, Ringbuf<HeapCons<T>>> {
    let (sender, receiver) = HeapRb::new(CAPACITY).split();
    Ends { name: RINGBUF, sender: Ringbuf(sender), receiver: Ringbuf(receiver) }
}

pub(crate) fn ringbuf_slices<T: Item>() -> Ends<impl PushMany<Item = T>, impl PopMany<Item = T>> {
    let Ends { sender, receiver, .. } = ringbuf();
    Ends { name: RINGBUF_SLICES, sender: Slices::new(sender), receiver: Slices::new(receiver) }
}

impl<T: Item> Push for spsc::Producer<'static, T> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        self.enqueue(*item).is_ok()
    }
}

impl<T: Item> Pop for spsc::Consumer<'static, T> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        self.dequeue().map(|item| read(&item))
    }
}

/// One item less than the others hold: with one slot more its indices would need a division.
pub(crate) fn heapless<T: Item, const N: usize>()
-> Ends<spsc::Producer<'static, T>, spsc::Consumer<'static, T>> {
    // The queue lives in a static where it is usually used; here it lives as long as the process.
    let queue: &'static mut spsc::Queue<T, N> = Box::leak(Box::default());
    let (sender, receiver) = queue.split();
    Ends { name: HEAPLESS, sender, receiver }
}

impl<T: Item> Push for nexus::Producer<T> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        nexus::Producer::push(self, *item).is_ok()
    }
}

impl<T: Item> Pop for nexus::Consumer<T> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        nexus::Consumer::pop(self).map(|item| read(&item))
    }
}

pub(crate) fn nexus<T: Item>() -> Ends<nexus::Producer<T>, nexus::Consumer<T>> {
    let (sender, receiver) = nexus::ring_buffer(CAPACITY);
    Ends { name: NEXUS, sender, receiver }
}

impl<T: Item> Push for SingleProducer<T, SingleConsumerBarrier> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        self.try_publish(|slot| *slot = *item).is_ok()
    }
}

impl<T: Item> PushMany for SingleProducer<T, SingleConsumerBarrier> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        let published = self.try_batch_publish(items.len(), |slots| {
            slots.zip(items).for_each(|(slot, item)| *slot = *item);
        });
        match published {
            Ok(_) => items.len(),
            Err(MissingFreeSlots(_)) => 0,
        }
    }
}

impl<T: Item> Pop for EventPoller<T, SingleProducerBarrier> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        let mut events = self.take(1).ok()?;
        (&mut events).next().map(read)
    }
}

impl<T: Item> PopMany for EventPoller<T, SingleProducerBarrier> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let Ok(mut guard) = self.take(most as u64) else { return 0 };
        let events = &mut guard;
        let count = events.len();
        events.for_each(|event| read(slice::from_ref(event)));
        count
    }
}

pub(crate) fn disruptor<T: Item>(
    name: &'static str,
) -> Ends<SingleProducer<T, SingleConsumerBarrier>, EventPoller<T, SingleProducerBarrier>> {
    let builder = build_single_producer(CAPACITY, T::default, BusySpin);
    let (receiver, builder) = builder.new_event_poller();
    Ends { name, sender: builder.build(), receiver }
}
