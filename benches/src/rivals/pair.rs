//! Rings for one sender and one receiver: rtrb, ringbuf, and heapless' spsc.

use heapless::spsc;
use ringbuf::traits::{Consumer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use rtrb::chunks::ChunkError;

use crate::ends::{CAPACITY, Ends, tried};
use crate::rivals::{HEAPLESS, RINGBUF};
use crate::sample::Item;

// The methods of rtrb have the names of our traits' methods, so the paths are full.
tried!([T: Item] T;
    rtrb::Producer<T>: |end, item| rtrb::Producer::push(end, *item).is_ok(),
        |items| write_chunk(end, items);
    rtrb::Consumer<T>: |end| rtrb::Consumer::pop(end).ok(), |most, read| read_chunk(end, most, &mut read));
tried!([T: Item] T; spsc::Producer<'static, T>: |end, item| end.enqueue(*item).is_ok();
    spsc::Consumer<'static, T>: |end| end.dequeue());
tried!([T: Item] T; Ringbuf<HeapProd<T>>: |end, item| end.0.try_push(*item).is_ok();
    Ringbuf<HeapCons<T>>: |end| end.0.try_pop());

/// Writes a chunk from an iterator.
#[inline]
fn write_chunk<T: Item>(end: &mut rtrb::Producer<T>, items: &[T]) -> usize {
    let chunk = match end.write_chunk_uninit(items.len()) {
        Err(ChunkError::TooFewSlots(free)) if free > 0 => end.write_chunk_uninit(free),
        chunk => chunk,
    };
    chunk.map_or(0, |chunk| chunk.fill_from_iter(items.iter().copied()))
}

/// Reads a chunk in place.
#[inline]
fn read_chunk<T: Item>(
    end: &mut rtrb::Consumer<T>,
    most: usize,
    mut read: impl FnMut(&[T]),
) -> usize {
    let chunk = match end.read_chunk(most) {
        Err(ChunkError::TooFewSlots(full)) if full > 0 => end.read_chunk(full),
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

pub(crate) fn rtrb<T: Item>(
    name: &'static str,
    capacity: usize,
) -> Ends<rtrb::Producer<T>, rtrb::Consumer<T>> {
    Ends::new(name, rtrb::RingBuffer::new(capacity))
}

/// An end of ringbuf, wrapped because its traits have methods of the same names as ours.
pub(crate) struct Ringbuf<E>(E);

pub(crate) fn ringbuf<T: Item>() -> Ends<Ringbuf<HeapProd<T>>, Ringbuf<HeapCons<T>>> {
    let (sender, receiver) = HeapRb::new(CAPACITY).split();
    Ends::new(RINGBUF, (Ringbuf(sender), Ringbuf(receiver)))
}

/// Makes a queue that holds one item less than the others: with one more slot its indices would
/// need a division.
pub(crate) fn heapless<T: Item, const N: usize>()
-> Ends<spsc::Producer<'static, T>, spsc::Consumer<'static, T>> {
    // Usually the queue is a static; here it lives as long as the process.
    let queue: &'static mut spsc::Queue<T, N> = Box::leak(Box::default());
    Ends::new(HEAPLESS, queue.split())
}
