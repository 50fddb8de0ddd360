//! Rings for one sender and one receiver: rtrb (also with the bytes of our slots), ringbuf,
//! heapless' spsc, nexus-queue, disruptor; and raw atomics, the least that the machine allows.

use std::hint::black_box;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use disruptor::{
    BusySpin, EventPoller, MissingFreeSlots, Producer as _, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};
use heapless::spsc;
use mycelium_core::ring::broadcast::Layout;
use nexus_queue::spsc as nexus;
use ringbuf::traits::{Consumer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use rtrb::chunks::ChunkError;

use crate::ends::{CAPACITY, Ends, Pop, PopMany, Push, PushMany, Slices, tried};
use crate::sample::{Item, Sample};

pub(crate) const RTRB: &str = "rtrb";
pub(crate) const RTRB_CHUNKS: &str = "rtrb chunks";
pub(crate) const RTRB_SLICES: &str = "rtrb slices";
pub(crate) const RTRB_SLOT: &str = match SLOT {
    64 => "rtrb 64 B",
    72 => "rtrb 72 B",
    _ => panic!("a slot of another size needs a name of its own"),
};
pub(crate) const RTRB_MESSAGE: &str = "rtrb 56 B";
pub(crate) const RINGBUF: &str = "ringbuf";
pub(crate) const RINGBUF_SLICES: &str = "ringbuf slices";
pub(crate) const HEAPLESS: &str = "heapless spsc";
pub(crate) const NEXUS: &str = "nexus-queue spsc";
pub(crate) const DISRUPTOR: &str = "disruptor";
pub(crate) const DISRUPTOR_BATCHES: &str = "disruptor batches";
pub(crate) const RAW: &str = "raw atomics";

// The methods of rtrb and nexus-queue have the names of our traits' methods, so the paths are full.
tried!([T: Item] T; rtrb::Producer<T>: |end, item| rtrb::Producer::push(end, *item).is_ok();
    rtrb::Consumer<T>: |end| rtrb::Consumer::pop(end).ok());
tried!([T: Item] T; nexus::Producer<T>: |end, item| nexus::Producer::push(end, *item).is_ok();
    nexus::Consumer<T>: |end| nexus::Consumer::pop(end));
tried!([T: Item] T; spsc::Producer<'static, T>: |end, item| end.enqueue(*item).is_ok();
    spsc::Consumer<'static, T>: |end| end.dequeue());
tried!([T: Item] T; Ringbuf<HeapProd<T>>: |end, item| end.0.try_push(*item).is_ok();
    Ringbuf<HeapCons<T>>: |end| end.0.try_pop());

/// Writes chunks from an iterator and reads them in place.
impl<T: Item> PushMany for rtrb::Producer<T> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        let chunk = match self.write_chunk_uninit(items.len()) {
            Err(ChunkError::TooFewSlots(free)) if free > 0 => self.write_chunk_uninit(free),
            chunk => chunk,
        };
        chunk.map_or(0, |chunk| chunk.fill_from_iter(items.iter().copied()))
    }
}

impl<T: Item> PopMany for rtrb::Consumer<T> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let chunk = match self.read_chunk(most) {
            Err(ChunkError::TooFewSlots(full)) if full > 0 => self.read_chunk(full),
            chunk => chunk,
        };
        let Ok(chunk) = chunk else { return 0 };
        let (first, second) = chunk.as_slices();
        read(first);
        read(second);
        let count = chunk.len();
        chunk.commit_all();
        count
    }
}

pub(crate) fn rtrb<T: Item>(
    name: &'static str,
    capacity: usize,
) -> Ends<rtrb::Producer<T>, rtrb::Consumer<T>> {
    Ends::new(name, rtrb::RingBuffer::new(capacity))
}

impl<T: Item> PushMany for Slices<rtrb::Producer<T>, T> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        self.end.push_partial_slice(items).0.len()
    }
}

impl<T: Item> PopMany for Slices<rtrb::Consumer<T>, T> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let (filled, _) = self.end.pop_partial_slice(&mut self.buffer[..most]);
        read(filled);
        filled.len()
    }
}

pub(crate) fn rtrb_slices<T: Item>()
-> Ends<Slices<rtrb::Producer<T>, T>, Slices<rtrb::Consumer<T>, T>> {
    let (sender, receiver) = rtrb::RingBuffer::new(CAPACITY);
    Ends::new(RTRB_SLICES, (Slices::new(sender), Slices::new(receiver)))
}

/// The size of a slot of our broadcast ring, in bytes.
const SLOT: usize = Layout::exact(2, size_of::<Sample>()).slot_words() * size_of::<u64>();

/// A message with as many bytes as a slot of ours.
pub(crate) struct Slot {
    words: [u64; (SLOT - size_of::<Sample>()) / size_of::<u64>()],
    sample: Sample,
}

const _: () = assert!(size_of::<Slot>() == SLOT);

pub(crate) struct SlotSender {
    producer: rtrb::Producer<Slot>,
    sequence: u64,
}

impl Push for SlotSender {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        let mut words = [size_of::<Sample>() as u64; _];
        words[0] = self.sequence;
        let pushed = self.producer.push(Slot { words, sample: *sample }).is_ok();
        self.sequence += u64::from(pushed);
        pushed
    }
}

pub(crate) struct SlotReceiver(rtrb::Consumer<Slot>);

impl Pop for SlotReceiver {
    type Item = Sample;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        let slot = self.0.pop().ok()?;
        black_box(slot.words);
        Some(read(&slot.sample))
    }
}

pub(crate) fn rtrb_slot() -> Ends<SlotSender, SlotReceiver> {
    let (producer, consumer) = rtrb::RingBuffer::new(CAPACITY);
    Ends::new(RTRB_SLOT, (SlotSender { producer, sequence: 0 }, SlotReceiver(consumer)))
}

/// An end of ringbuf, wrapped because its traits have methods of the same names as ours.
pub(crate) struct Ringbuf<E>(E);

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
    Ends::new(RINGBUF, (Ringbuf(sender), Ringbuf(receiver)))
}

pub(crate) fn ringbuf_slices<T: Item>() -> Ends<impl PushMany<Item = T>, impl PopMany<Item = T>> {
    let Ends { sender, receiver, .. } = ringbuf();
    Ends::new(RINGBUF_SLICES, (Slices::new(sender), Slices::new(receiver)))
}

/// Holds one item less than the others: with one more slot its indices would need a division.
pub(crate) fn heapless<T: Item, const N: usize>()
-> Ends<spsc::Producer<'static, T>, spsc::Consumer<'static, T>> {
    // Usually the queue is a static; here it lives as long as the process.
    let queue: &'static mut spsc::Queue<T, N> = Box::leak(Box::default());
    Ends::new(HEAPLESS, queue.split())
}

pub(crate) fn nexus<T: Item>() -> Ends<nexus::Producer<T>, nexus::Consumer<T>> {
    Ends::new(NEXUS, nexus::ring_buffer(CAPACITY))
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
    Ends::new(name, (builder.build(), receiver))
}

/// An end of a single cache line that one side writes and the other reads. It holds one number: a
/// second number sent before the first is read overwrites it.
pub(crate) struct Line {
    line: Arc<CachePadded<AtomicU64>>,
    /// Numbers sent or received.
    count: u64,
}

const LOW: u64 = u32::MAX as u64;

impl Push for Line {
    type Item = u64;

    #[inline]
    fn push(&mut self, item: &u64) -> bool {
        self.count = self.count.wrapping_add(1);
        // The count makes two equal numbers in a row distinguishable.
        self.line.store(self.count << 32 | item & LOW, Ordering::Release);
        true
    }
}

impl Pop for Line {
    type Item = u64;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&u64) -> R) -> Option<R> {
        let word = self.line.load(Ordering::Acquire);
        if word >> 32 == self.count & LOW {
            return None;
        }
        self.count = self.count.wrapping_add(1);
        Some(read(&(word & LOW)))
    }
}

pub(crate) fn raw() -> Ends<Line, Line> {
    let line = Arc::new(CachePadded::new(AtomicU64::new(0)));
    Ends::new(RAW, (Line { line: line.clone(), count: 0 }, Line { line, count: 0 }))
}
