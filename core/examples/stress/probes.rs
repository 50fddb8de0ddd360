//! Probes: queues with a fault, which the stress must find, so that its checks are known to work.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use mycelium_core::ring::{self, PopError, PushError};

use crate::kinds::Kind;

/// One operation in this many goes wrong.
const SELDOM: u64 = 5_000;

pub(crate) const LOSES: u8 = 0;
pub(crate) const LEAKS: u8 = 1;
pub(crate) const REORDERS: u8 = 2;
pub(crate) const STOPS: u8 = 3;
pub(crate) const SHOWS_GHOSTS: u8 = 4;

pub(crate) struct Faulty<const FAULT: u8>;

pub(crate) struct Queue<T> {
    items: VecDeque<T>,
    capacity: usize,
    closed: bool,
    operations: u64,
}

pub(crate) struct End<T, const FAULT: u8>(Arc<Mutex<Queue<T>>>);

impl<T, const FAULT: u8> End<T, FAULT> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        let mut queue = self.0.lock().expect("no thread panics here");
        queue.operations += 1;
        queue
    }
}

impl<T> Queue<T> {
    fn goes_wrong(&self) -> bool {
        self.operations.is_multiple_of(SELDOM)
    }
}

impl<const FAULT: u8> Kind for Faulty<FAULT> {
    const NAME: &'static str =
        ["probe-loses", "probe-leaks", "probe-reorders", "probe-stops", "probe-ghosts"]
            [FAULT as usize];
    const READERS: usize = usize::MAX;
    type Ring<T: Send + 'static> = Arc<Mutex<Queue<T>>>;
    type Writer<T: Send + 'static> = End<T, FAULT>;
    type Reader<T: Send + 'static> = End<T, FAULT>;

    fn ring<T: Send + 'static>(capacity: usize) -> Self::Ring<T> {
        let items = VecDeque::with_capacity(capacity);
        Arc::new(Mutex::new(Queue { items, capacity, closed: false, operations: 0 }))
    }

    fn writer<T: Send + 'static>(ring: &Self::Ring<T>) -> Option<Self::Writer<T>> {
        let end = End(ring.clone());
        (!ring::Producer::is_closed(&end)).then_some(end)
    }

    fn reader<T: Send + 'static>(ring: &Self::Ring<T>) -> Option<Self::Reader<T>> {
        Some(End(ring.clone()))
    }

    fn close<T: Send + 'static>(ring: &Self::Ring<T>) -> bool {
        ring.lock().expect("no thread panics here").closed = true;
        true
    }

    fn fill<T: Send + 'static>(
        writer: &mut Self::Writer<T>,
        count: usize,
        mut next: impl FnMut() -> Option<T>,
        commit: bool,
    ) -> usize {
        let mut queue = writer.queue();
        if queue.closed || queue.items.len() + count > queue.capacity {
            return 0;
        }
        // `next` may panic: a poisoned lock would be another fault.
        drop(queue);
        let items: Vec<T> = std::iter::from_fn(&mut next).take(count).collect();
        queue = writer.queue();
        let filled = items.len();
        if commit || FAULT == SHOWS_GHOSTS {
            queue.items.extend(items);
        }
        filled
    }
}

impl<T, const FAULT: u8> ring::Producer for End<T, FAULT> {
    type Item = T;

    fn try_push(&mut self, item: T) -> Result<(), PushError<T>> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(PushError::Closed(item));
        }
        if queue.items.len() == queue.capacity {
            return Err(PushError::Full(item));
        }
        match FAULT {
            LOSES if queue.goes_wrong() => drop(item),
            LEAKS if queue.goes_wrong() => std::mem::forget(item),
            REORDERS if queue.operations.is_multiple_of(16) => queue.items.push_front(item),
            STOPS if queue.operations > SELDOM => return Err(PushError::Full(item)),
            _ => queue.items.push_back(item),
        }
        Ok(())
    }

    fn is_full(&mut self) -> bool {
        let queue = self.queue();
        queue.items.len() == queue.capacity
    }

    fn is_closed(&self) -> bool {
        self.queue().closed
    }

    fn capacity(&self) -> usize {
        self.queue().capacity
    }

    fn len(&self) -> usize {
        self.queue().items.len()
    }

    fn close(self) {
        self.queue().closed = true;
    }
}

impl<T, const FAULT: u8> ring::Consumer for End<T, FAULT> {
    type Item = T;

    fn try_pop(&mut self) -> Result<T, PopError> {
        let mut queue = self.queue();
        let nothing = if queue.closed { PopError::Closed } else { PopError::Empty };
        queue.items.pop_front().ok_or(nothing)
    }

    fn pop_many(&mut self, most: usize, mut take: impl FnMut(T)) -> Result<usize, PopError> {
        let first = self.try_pop()?;
        take(first);
        for taken in 1..most {
            let Ok(item) = self.try_pop() else { return Ok(taken) };
            take(item);
        }
        Ok(most)
    }

    fn capacity(&self) -> usize {
        self.queue().capacity
    }

    fn len(&self) -> usize {
        self.queue().items.len()
    }

    fn refuse_pushes(&mut self) {
        self.queue().closed = true;
    }

    fn close(self) {
        self.queue().closed = true;
    }
}
