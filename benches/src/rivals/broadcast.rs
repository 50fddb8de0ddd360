//! One sender, and every receiver gets every message: tokio's broadcast, async-broadcast,
//! disruptor, photon-ring, and one rtrb for each receiver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, SingleProducer, SingleProducerBarrier,
    build_single_producer,
};
use mycelium_core::message::decode_ref;
use photon_ring::{Publisher, Subscribable, Subscriber};
use tokio::sync::broadcast;
use zerocopy::{IntoBytes, transmute};

use crate::ends::{CAPACITY, Ends, Pop, Push, tried};
use crate::rivals::pair;
use crate::sample::{Item, Sample};

pub(crate) const TOKIO: &str = "tokio broadcast";
pub(crate) const PHOTON: &str = "photon-ring, waits";

tried!([T: Item] T; broadcast::Sender<T>: |end, item| end.send(*item).is_ok();
    broadcast::Receiver<T>: |end| end.try_recv().ok());
tried!([T: Item] T; async_broadcast::Sender<T>: |end, item| end.try_broadcast(*item).is_ok();
    async_broadcast::Receiver<T>: |end| end.try_recv().ok());

/// tokio's broadcast without a check, for loops that never send more than fits.
pub(crate) fn tokio(
    readers: usize,
) -> (broadcast::Sender<Sample>, Vec<broadcast::Receiver<Sample>>) {
    let (sender, _) = broadcast::channel(CAPACITY);
    let receivers = (0..readers).map(|_| sender.subscribe()).collect();
    (sender, receivers)
}

/// A sender that waits for its receiver. Without this, tokio's overwrites what was not received.
pub(crate) struct TokioSender {
    sender: broadcast::Sender<Sample>,
    sent: u64,
    /// There is space for messages below this number.
    limit: u64,
    taken: Arc<CachePadded<AtomicU64>>,
}

pub(crate) struct TokioReceiver {
    receiver: broadcast::Receiver<Sample>,
    count: u64,
    taken: Arc<CachePadded<AtomicU64>>,
}

impl Push for TokioSender {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        if self.sent == self.limit {
            // Acquire pairs with the receiver's Release. Once per lap, as in our ring.
            self.limit = self.taken.load(Ordering::Acquire) + CAPACITY as u64;
            if self.sent == self.limit {
                return false;
            }
        }
        self.sent += 1;
        self.sender.send(*sample).is_ok()
    }
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

/// tokio's broadcast with one receiver, which the sender waits for.
pub(crate) fn tokio_lossless() -> Ends<TokioSender, TokioReceiver> {
    let (sender, receiver) = broadcast::channel(CAPACITY);
    let taken = Arc::new(CachePadded::new(AtomicU64::new(0)));
    let receiver = TokioReceiver { receiver, count: 0, taken: taken.clone() };
    Ends::new(TOKIO, (TokioSender { sender, sent: 0, limit: CAPACITY as u64, taken }, receiver))
}

pub(crate) fn async_broadcast(
    readers: usize,
) -> (async_broadcast::Sender<Sample>, Vec<async_broadcast::Receiver<Sample>>) {
    let (sender, receiver) = async_broadcast::broadcast(CAPACITY);
    (sender, vec![receiver; readers])
}

impl<T: Item> Push for SingleProducer<T, MultiConsumerBarrier> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: &T) -> bool {
        disruptor::Producer::try_publish(self, |slot| *slot = *item).is_ok()
    }
}

/// disruptor; its set of readers is fixed from the start.
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

/// A message as photon-ring takes it: `Sample` could implement `photon_ring::Pod` only with
/// `unsafe`.
type Words = [u64; size_of::<Sample>() / size_of::<u64>()];

impl Push for Publisher<Words> {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        self.try_publish(transmute!(*sample)).is_ok()
    }
}

impl Pop for Subscriber<Words> {
    type Item = Sample;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        let words: Words = self.try_recv().ok()?;
        // Read in place: a second copy would wait for the stores of the first.
        decode_ref(words.as_bytes()).ok().map(read)
    }
}

fn photon(
    readers: usize,
    (publisher, ring): (Publisher<Words>, Subscribable<Words>),
) -> (Publisher<Words>, Vec<Subscriber<Words>>) {
    (publisher, (0..readers).map(|_| ring.subscribe()).collect())
}

/// photon-ring with a publisher that never overwrites a message before it is read.
pub(crate) fn photon_waiting(readers: usize) -> (Publisher<Words>, Vec<Subscriber<Words>>) {
    photon(readers, photon_ring::channel_bounded(CAPACITY, 0))
}

/// photon-ring with a publisher that overwrites, for loops that never send more than fits.
pub(crate) fn photon_lossy(readers: usize) -> (Publisher<Words>, Vec<Subscriber<Words>>) {
    photon(readers, photon_ring::channel(CAPACITY))
}

/// The first with one reader.
pub(crate) fn photon_pair() -> Ends<Publisher<Words>, Subscriber<Words>> {
    let (sender, mut receivers) = photon_waiting(1);
    Ends::new(PHOTON, (sender, receivers.remove(0)))
}

/// One ring for each receiver.
pub(crate) struct Each(Vec<rtrb::Producer<Sample>>);

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

pub(crate) fn rtrb_each(readers: usize) -> (Each, Vec<rtrb::Consumer<Sample>>) {
    let ends = (0..readers).map(|_| pair::rtrb("", CAPACITY));
    let (senders, receivers) = ends.map(|ends| (ends.sender, ends.receiver)).unzip();
    (Each(senders), receivers)
}
