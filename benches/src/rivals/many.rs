//! Queues and channels for many senders and many receivers, tried without waiting.

use std::num::NonZeroUsize;
use std::sync::Arc;

use concurrent_queue::ConcurrentQueue;
use crossbeam_queue::ArrayQueue;
use crossfire::{MRx, MTx, Rx, Tx};
use gil::mpmc::sharded;
use heapless::mpmc as heapless_mpmc;
use thingbuf::ThingBuf;
use tokio::sync::mpsc;

use crate::ends::{CAPACITY, Ends, tried};
use crate::sample::Item;

pub(crate) const ARRAY_QUEUE: &str = "crossbeam ArrayQueue";
pub(crate) const CONCURRENT_QUEUE: &str = "concurrent-queue";
pub(crate) const HEAPLESS: &str = "heapless mpmc";
pub(crate) const THINGBUF: &str = "thingbuf";
pub(crate) const CROSSBEAM: &str = "crossbeam-channel";
pub(crate) const FLUME: &str = "flume";
pub(crate) const KANAL: &str = "kanal";
pub(crate) const ASYNC_CHANNEL: &str = "async-channel";
pub(crate) const CROSSFIRE: &str = "crossfire";
pub(crate) const CROSSFIRE_SPSC: &str = "crossfire spsc";
pub(crate) const RAPIDFIRE: &str = "rapidfire";
pub(crate) const TOKIO_MPSC: &str = "tokio mpsc";
/// The fields of its receiver are public: safe code can move its position to an empty slot.
pub(crate) const GIL_SPSC: &str = "gil spsc (public positions)";
pub(crate) const GIL_MPMC: &str = "gil mpmc";
pub(crate) const GIL_SHARDED: &str = "gil sharded (FIFO per producer only)";

/// A channel of two ends: `channel!(function() = NAME, channel; Sender: |end, item| ...)`.
macro_rules! channel {
    ($function:ident() = $name:expr, $new:expr; $sender:ty: |$tx:ident, $value:ident| $push:expr;
        $receiver:ty: |$rx:ident| $pop:expr) => {
        tried!([T: Item] T; $sender: |$tx, $value| $push; $receiver: |$rx| $pop);

        pub(crate) fn $function<T: Item>() -> Ends<$sender, $receiver> {
            Ends::new($name, $new)
        }
    };
}

channel!(crossbeam() = CROSSBEAM, crossbeam_channel::bounded(CAPACITY);
    crossbeam_channel::Sender<T>: |end, item| end.try_send(*item).is_ok();
    crossbeam_channel::Receiver<T>: |end| end.try_recv().ok());
channel!(flume() = FLUME, flume::bounded(CAPACITY);
    flume::Sender<T>: |end, item| end.try_send(*item).is_ok();
    flume::Receiver<T>: |end| end.try_recv().ok());
channel!(kanal() = KANAL, kanal::bounded(CAPACITY);
    kanal::Sender<T>: |end, item| end.try_send(*item) == Ok(true);
    kanal::Receiver<T>: |end| end.try_recv().ok().flatten());
channel!(async_channel() = ASYNC_CHANNEL, async_channel::bounded(CAPACITY);
    async_channel::Sender<T>: |end, item| end.try_send(*item).is_ok();
    async_channel::Receiver<T>: |end| end.try_recv().ok());
channel!(crossfire() = CROSSFIRE, crossfire::mpmc::bounded_blocking(CAPACITY);
    MTx<crossfire::mpmc::Array<T>>: |end, item| end.try_send(*item).is_ok();
    MRx<crossfire::mpmc::Array<T>>: |end| end.try_recv().ok());
channel!(crossfire_spsc() = CROSSFIRE_SPSC, crossfire::spsc::bounded_blocking(CAPACITY);
    Tx<crossfire::spsc::Array<T>>: |end, item| end.try_send(*item).is_ok();
    Rx<crossfire::spsc::Array<T>>: |end| end.try_recv().ok());
channel!(rapidfire() = RAPIDFIRE, rapidfire::bounded(CAPACITY);
    rapidfire::Sender<T>: |end, item| end.try_send(*item).is_ok();
    rapidfire::Receiver<T>: |end| end.try_recv().ok());
channel!(tokio_mpsc() = TOKIO_MPSC, mpsc::channel(CAPACITY);
    mpsc::Sender<T>: |end, item| end.try_send(*item).is_ok();
    mpsc::Receiver<T>: |end| end.try_recv().ok());
channel!(gil_spsc() = GIL_SPSC, gil::spsc::channel(at_least_one(CAPACITY));
    gil::spsc::Sender<T>: |end, item| end.try_send(*item).is_ok();
    gil::spsc::Receiver<T>: |end| end.try_recv());
channel!(gil_mpmc() = GIL_MPMC, gil::mpmc::channel(at_least_one(CAPACITY));
    gil::mpmc::Sender<T>: |end, item| end.try_send(*item).is_ok();
    gil::mpmc::Receiver<T>: |end| end.try_recv());

tried!([T: Item] T; sharded::Sender<T>: |end, item| end.try_send(*item).is_ok();
    sharded::Receiver<T>: |end| end.try_recv());

fn at_least_one(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("above zero")
}

/// gil's queue with a shard for each sender. All shards together hold `CAPACITY` items.
pub(crate) fn gil_sharded<T: Item>(
    senders: usize,
    receivers: usize,
) -> (Vec<sharded::Sender<T>>, Vec<sharded::Receiver<T>>) {
    let shards = senders.max(receivers).next_power_of_two();
    let (sender, receiver) =
        sharded::channel(at_least_one(shards), at_least_one(CAPACITY / shards));
    let mut all = (vec![sender], vec![receiver]);
    for _ in 1..senders {
        let sender = all.0[0].try_clone().expect("there is a shard for each");
        all.0.push(sender);
    }
    for _ in 1..receivers {
        let receiver = all.1[0].try_clone().expect("receivers share shards");
        all.1.push(receiver);
    }
    all
}

/// An end of a queue that is shared as a whole.
pub(crate) struct Shared<Q>(Arc<Q>);

impl<Q> Clone for Shared<Q> {
    fn clone(&self) -> Shared<Q> {
        Shared(self.0.clone())
    }
}

/// A queue whose two ends are one type:
/// `queue!(function() = NAME, queue; Queue: |end, item| bool; |end| Option<item>)`.
macro_rules! queue {
    ($function:ident() = $name:expr, $new:expr; $queue:ty: |$tx:ident, $value:ident| $push:expr;
        |$rx:ident| $pop:expr) => {
        tried!([T: Item] T; Shared<$queue>: |$tx, $value| $push; Shared<$queue>: |$rx| $pop);

        pub(crate) fn $function<T: Item>() -> Ends<Shared<$queue>, Shared<$queue>> {
            let queue = Shared(Arc::new($new));
            Ends::new($name, (queue.clone(), queue))
        }
    };
}

queue!(array_queue() = ARRAY_QUEUE, ArrayQueue::new(CAPACITY);
    ArrayQueue<T>: |end, item| end.0.push(*item).is_ok(); |end| end.0.pop());
queue!(concurrent_queue() = CONCURRENT_QUEUE, ConcurrentQueue::bounded(CAPACITY);
    ConcurrentQueue<T>: |end, item| end.0.push(*item).is_ok(); |end| end.0.pop().ok());
queue!(heapless() = HEAPLESS, heapless_mpmc::Queue::default();
    heapless_mpmc::Queue<T, CAPACITY>: |end, item| end.0.enqueue(*item).is_ok();
    |end| end.0.dequeue());
queue!(thingbuf() = THINGBUF, ThingBuf::new(CAPACITY);
    ThingBuf<T>: |end, item| end.0.push(*item).is_ok(); |end| end.0.pop());
