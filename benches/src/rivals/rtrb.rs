//! rtrb: one by one, in chunks written and read in place, in slices copied, and with the bytes of our slots.

use std::hint::black_box;

use mycelium_core::ring::broadcast::Layout;
use rtrb::chunks::ChunkError;

use crate::ends::{CAPACITY, Ends, Pop, PopMany, Push, PushMany, Slices};
use crate::item::Item;
use crate::sample::Sample;

pub(crate) const RTRB: &str = "rtrb";
pub(crate) const RTRB_CHUNKS: &str = "rtrb chunks";
pub(crate) const RTRB_SLICES: &str = "rtrb slices";
pub(crate) const RTRB_SLOT: &str = match SLOT {
    64 => "rtrb 64 B",
    72 => "rtrb 72 B",
    _ => panic!("a slot of another size needs a name of its own"),
};
pub(crate) const RTRB_MESSAGE: &str = "rtrb 56 B";

impl<T: Item> Push for rtrb::Producer<T> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        rtrb::Producer::push(self, *item).is_ok()
    }
}

impl<T: Item> Pop for rtrb::Consumer<T> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        rtrb::Consumer::pop(self).ok().map(|item| read(&item))
    }
}

/// Writes chunks from an iterator and reads them in place.
impl<T: Item> PushMany for rtrb::Producer<T> {
    #[inline]
    fn push_many(&mut self, items: &[T]) -> usize {
        let chunk = match self.write_chunk_uninit(items.len()) {
            Err(ChunkError::TooFewSlots(room)) if room > 0 => self.write_chunk_uninit(room),
            chunk => chunk,
        };
        chunk.map_or(0, |chunk| chunk.fill_from_iter(items.iter().copied()))
    }
}

impl<T: Item> PopMany for rtrb::Consumer<T> {
    #[inline]
    fn pop_many(&mut self, most: usize, mut read: impl FnMut(&[T])) -> usize {
        let chunk = match self.read_chunk(most) {
            Err(ChunkError::TooFewSlots(there)) if there > 0 => self.read_chunk(there),
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

pub(crate) fn one<T: Item, const N: usize>() -> Ends<rtrb::Producer<T>, rtrb::Consumer<T>> {
    named(RTRB, N)
}

/// rtrb with messages, beside columns of other sizes.
pub(crate) fn message() -> Ends<rtrb::Producer<Sample>, rtrb::Consumer<Sample>> {
    small::<CAPACITY>()
}

/// A ring of messages, of another size.
pub(crate) fn small<const N: usize>() -> Ends<rtrb::Producer<Sample>, rtrb::Consumer<Sample>> {
    named(RTRB_MESSAGE, N)
}

pub(crate) fn chunks<T: Item>() -> Ends<rtrb::Producer<T>, rtrb::Consumer<T>> {
    named(RTRB_CHUNKS, CAPACITY)
}

fn named<T: Item>(
    name: &'static str,
    capacity: usize,
) -> Ends<rtrb::Producer<T>, rtrb::Consumer<T>> {
    let (sender, receiver) = rtrb::RingBuffer::new(capacity);
    Ends { name, sender, receiver }
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

pub(crate) fn slices<T: Item>() -> Ends<Slices<rtrb::Producer<T>, T>, Slices<rtrb::Consumer<T>, T>>
{
    let Ends { sender, receiver, .. } = named(RTRB_SLICES, CAPACITY);
    Ends { name: RTRB_SLICES, sender: Slices::new(sender), receiver: Slices::new(receiver) }
}

/// The bytes of a slot of our broadcast ring.
const SLOT: usize = Layout::exact(2, size_of::<Sample>()).slot_words() * size_of::<u64>();

/// As many bytes as such a slot: what it has beside the message, and the message.
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
        let sequence = self.sequence;
        let mut words = [size_of::<Sample>() as u64; _];
        words[0] = sequence;
        let slot = Slot { words, sample: *sample };
        let pushed = self.producer.push(slot).is_ok();
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

pub(crate) fn slot() -> Ends<SlotSender, SlotReceiver> {
    let (producer, consumer) = rtrb::RingBuffer::new(CAPACITY);
    let sender = SlotSender { producer, sequence: 0 };
    Ends { name: RTRB_SLOT, sender, receiver: SlotReceiver(consumer) }
}
