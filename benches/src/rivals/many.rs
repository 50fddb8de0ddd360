//! Queues and channels for many senders and many receivers, tried without waiting.

use std::num::NonZeroUsize;
use std::sync::Arc;

use concurrent_queue::ConcurrentQueue;
use crossbeam_queue::ArrayQueue;

use crate::ends::{CAPACITY, Ends, tried};
use crate::rivals::{ARRAY_QUEUE, CONCURRENT_QUEUE, CROSSBEAM, GIL_MPMC, KANAL, RAPIDFIRE};
use crate::sample::Item;

/// Makes a channel of two ends: `channel!(function() = NAME, channel; Sender: |end, item| ...)`.
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
channel!(kanal() = KANAL, kanal::bounded(CAPACITY);
    kanal::Sender<T>: |end, item| end.try_send(*item) == Ok(true);
    kanal::Receiver<T>: |end| end.try_recv().ok().flatten());
channel!(rapidfire() = RAPIDFIRE, rapidfire::bounded(CAPACITY);
    rapidfire::Sender<T>: |end, item| end.try_send(*item).is_ok();
    rapidfire::Receiver<T>: |end| end.try_recv().ok());
channel!(gil_mpmc() = GIL_MPMC, gil::mpmc::channel(NonZeroUsize::new(CAPACITY).expect("above zero"));
    gil::mpmc::Sender<T>: |end, item| end.try_send(*item).is_ok();
    gil::mpmc::Receiver<T>: |end| end.try_recv());

/// An end of a queue that is shared as a whole.
pub(crate) struct Shared<Q>(Arc<Q>);

impl<Q> Clone for Shared<Q> {
    fn clone(&self) -> Shared<Q> {
        Shared(self.0.clone())
    }
}

/// Makes a queue whose two ends are of one type:
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
