//! Queues for many senders and many receivers that are shared as a whole: ArrayQueue, concurrent-queue, heapless'
//! mpmc, thingbuf.

use std::sync::Arc;

use concurrent_queue::ConcurrentQueue;
use crossbeam_queue::ArrayQueue;
use heapless::mpmc;
use thingbuf::ThingBuf;

use crate::ends::{CAPACITY, Ends, Pop, Push};
use crate::item::Item;

pub(crate) const ARRAY_QUEUE: &str = "crossbeam ArrayQueue";
pub(crate) const CONCURRENT_QUEUE: &str = "concurrent-queue";
pub(crate) const HEAPLESS: &str = "heapless mpmc";
pub(crate) const THINGBUF: &str = "thingbuf";

/// A queue that anybody may push to and pop from.
pub(crate) trait Queue: Send + Sync {
    type Item: Item;

    fn try_push(&self, item: Self::Item) -> bool;

    fn try_pop(&self) -> Option<Self::Item>;
}

/// Either end of a queue.
pub(crate) struct Shared<Q>(Arc<Q>);

impl<Q> Clone for Shared<Q> {
    fn clone(&self) -> Shared<Q> {
        Shared(self.0.clone())
    }
}

impl<Q: Queue> Push for Shared<Q> {
    type Item = Q::Item;

    #[inline]
    fn push(&mut self, item: &Q::Item) -> bool {
        self.0.try_push(*item)
    }
}

impl<Q: Queue> Pop for Shared<Q> {
    type Item = Q::Item;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Q::Item) -> R) -> Option<R> {
        self.0.try_pop().map(|item| read(&item))
    }
}

fn shared<Q>(name: &'static str, queue: Q) -> Ends<Shared<Q>, Shared<Q>> {
    let queue = Shared(Arc::new(queue));
    Ends { name, sender: queue.clone(), receiver: queue }
}

impl<T: Item> Queue for ArrayQueue<T> {
    type Item = T;

    #[inline]
    fn try_push(&self, item: T) -> bool {
        self.push(item).is_ok()
    }

    #[inline]
    fn try_pop(&self) -> Option<T> {
        self.pop()
    }
}

pub(crate) fn array_queue<T: Item>() -> Ends<Shared<ArrayQueue<T>>, Shared<ArrayQueue<T>>> {
    shared(ARRAY_QUEUE, ArrayQueue::new(CAPACITY))
}

impl<T: Item> Queue for ConcurrentQueue<T> {
    type Item = T;

    #[inline]
    fn try_push(&self, item: T) -> bool {
        self.push(item).is_ok()
    }

    #[inline]
    fn try_pop(&self) -> Option<T> {
        self.pop().ok()
    }
}

pub(crate) fn concurrent_queue<T: Item>()
-> Ends<Shared<ConcurrentQueue<T>>, Shared<ConcurrentQueue<T>>> {
    shared(CONCURRENT_QUEUE, ConcurrentQueue::bounded(CAPACITY))
}

impl<T: Item> Queue for mpmc::Queue<T, CAPACITY> {
    type Item = T;

    #[inline]
    fn try_push(&self, item: T) -> bool {
        self.enqueue(item).is_ok()
    }

    #[inline]
    fn try_pop(&self) -> Option<T> {
        self.dequeue()
    }
}

pub(crate) fn heapless<T: Item>()
-> Ends<Shared<mpmc::Queue<T, CAPACITY>>, Shared<mpmc::Queue<T, CAPACITY>>> {
    shared(HEAPLESS, mpmc::Queue::default())
}

impl<T: Item> Queue for ThingBuf<T> {
    type Item = T;

    #[inline]
    fn try_push(&self, item: T) -> bool {
        self.push(item).is_ok()
    }

    #[inline]
    fn try_pop(&self) -> Option<T> {
        self.pop()
    }
}

pub(crate) fn thingbuf<T: Item>() -> Ends<Shared<ThingBuf<T>>, Shared<ThingBuf<T>>> {
    shared(THINGBUF, ThingBuf::new(CAPACITY))
}
