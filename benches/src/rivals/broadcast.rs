//! One sender, and every receiver gets everything: tokio's broadcast, async-broadcast, disruptor, an rtrb for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, SingleProducer, SingleProducerBarrier,
    build_single_producer,
};
use tokio::sync::broadcast;

use crate::ends::{CAPACITY, Ends, Pop, Push};
use crate::item::Item;
use crate::rivals::rtrb;
use crate::sample::Sample;

pub(crate) const TOKIO: &str = "tokio broadcast";

/// A sender that waits for one of its receivers: by itself, tokio's overwrites what a receiver has not taken.
pub(crate) struct TokioSender {
    sender: broadcast::Sender<Sample>,
    sent: u64,
    /// It has seen room before this number.
    limit: u64,
    taken: Arc<CachePadded<AtomicU64>>,
}

impl Push for TokioSender {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        if self.sent == self.limit {
            // Acquire, with the receiver's Release; once a lap, as our ring does it.
            self.limit = self.taken.load(Ordering::Acquire) + CAPACITY as u64;
            if self.sent == self.limit {
                return false;
            }
        }
        self.sent += 1;
        self.sender.send(*sample).is_ok()
    }
}

pub(crate) struct TokioReceiver {
    receiver: broadcast::Receiver<Sample>,
    count: u64,
    taken: Arc<CachePadded<AtomicU64>>,
}

impl Pop for TokioReceiver {
    type Item = Sample;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        let sample = self.receiver.try_recv().ok()?;
        self.count += 1;
        self.taken.store(self.count, Ordering::Release);
        Some(read(&sample))
    }
}

/// tokio's broadcast with one receiver, which holds the sender.
pub(crate) fn tokio_held() -> Ends<TokioSender, TokioReceiver> {
    let (sender, receiver) = broadcast::channel(CAPACITY);
    let taken = Arc::new(CachePadded::new(AtomicU64::new(0)));
    let receiver = TokioReceiver { receiver, count: 0, taken: taken.clone() };
    let sender = TokioSender { sender, sent: 0, limit: CAPACITY as u64, taken };
    Ends { name: TOKIO, sender, receiver }
}

impl<T: Item> Push for broadcast::Sender<T> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        self.send(*item).is_ok()
    }
}

impl<T: Item> Pop for broadcast::Receiver<T> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        self.try_recv().ok().map(|item| read(&item))
    }
}

/// tokio's broadcast as it is: for loops that never send more than there is room for.
pub(crate) fn tokio(
    readers: usize,
) -> (broadcast::Sender<Sample>, Vec<broadcast::Receiver<Sample>>) {
    let (sender, _) = broadcast::channel(CAPACITY);
    let receivers = (0..readers).map(|_| sender.subscribe()).collect();
    (sender, receivers)
}

impl<T: Item> Push for async_broadcast::Sender<T> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        self.try_broadcast(*item).is_ok()
    }
}

impl<T: Item> Pop for async_broadcast::Receiver<T> {
    type Item = T;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&T) -> R) -> Option<R> {
        self.try_recv().ok().map(|item| read(&item))
    }
}

pub(crate) fn async_broadcast(
    readers: usize,
) -> (async_broadcast::Sender<Sample>, Vec<async_broadcast::Receiver<Sample>>) {
    let (sender, first) = async_broadcast::broadcast(CAPACITY);
    let more = (1..readers).map(|_| first.clone()).collect::<Vec<_>>();
    (sender, std::iter::once(first).chain(more).collect())
}

impl<T: Item> Push for SingleProducer<T, MultiConsumerBarrier> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        disruptor::Producer::try_publish(self, |slot| *slot = *item).is_ok()
    }
}

/// disruptor with a set of readers that is fixed from the start; it knows no other.
pub(crate) fn disruptor(
    readers: usize,
) -> (SingleProducer<Sample, MultiConsumerBarrier>, Vec<EventPoller<Sample, SingleProducerBarrier>>)
{
    let mut builder =
        build_single_producer(CAPACITY, Sample::default, BusySpin).with_multi_consumer();
    let mut receivers = Vec::new();
    for _ in 0..readers {
        let (receiver, next) = builder.new_event_poller();
        receivers.push(receiver);
        builder = next;
    }
    (builder.build(), receivers)
}

/// A list of rings, one for each receiver.
pub(crate) struct Each(Vec<::rtrb::Producer<Sample>>);

impl Push for Each {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        let mut all = true;
        for producer in &mut self.0 {
            all &= Push::push(producer, sample);
        }
        all
    }
}

pub(crate) fn rtrb_each(readers: usize) -> (Each, Vec<::rtrb::Consumer<Sample>>) {
    let ends = (0..readers).map(|_| rtrb::message()).map(|ends| (ends.sender, ends.receiver));
    let (senders, receivers) = ends.unzip();
    (Each(senders), receivers)
}
