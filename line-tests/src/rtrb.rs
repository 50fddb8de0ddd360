//! A transcription of the algorithm of rtrb 0.4 (MIT or Apache-2.0,
//! <https://github.com/mgeier/rtrb>), whose own atomics report nothing: the accesses of its `push`
//! and `pop` to shared memory, in the same order and layout. The items themselves are not stored: a
//! slot is reported as one access to its bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_utils::CachePadded;
use mycelium_core::sync::lines::{AtomicUsize, Kind, report_all};

/// The state that both ends share. As in rtrb, positions go from 0 to twice the capacity.
#[derive(Debug)]
struct Ring<T> {
    head: CachePadded<AtomicUsize>,
    tail: CachePadded<AtomicUsize>,
    slots: Vec<T>,
}

impl<T> Ring<T> {
    fn distance(&self, from: usize, to: usize) -> usize {
        if from <= to { to - from } else { 2 * self.slots.len() - from + to }
    }

    fn slot(&self, position: usize) -> &T {
        &self.slots
            [if position < self.slots.len() { position } else { position - self.slots.len() }]
    }

    fn after(&self, position: usize) -> usize {
        if position < 2 * self.slots.len() - 1 { position + 1 } else { 0 }
    }
}

/// A ring of `capacity` items of type `T`.
#[must_use]
pub fn ring<T: Default>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let ring = Arc::new(Ring {
        head: CachePadded::new(AtomicUsize::new(0)),
        tail: CachePadded::new(AtomicUsize::new(0)),
        slots: (0..capacity).map(|_| T::default()).collect(),
    });
    (Producer { ring: ring.clone(), head: 0, tail: 0 }, Consumer { ring, head: 0, tail: 0 })
}

/// The writer's end.
#[derive(Debug)]
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
    head: usize,
    tail: usize,
}

impl<T> Producer<T> {
    /// Appends an item; false if the ring is full.
    pub fn push(&mut self) -> bool {
        let ring = &*self.ring;
        // Full according to the cached head? Then according to the head itself?
        if ring.distance(self.head, self.tail) == ring.slots.len() {
            self.head = ring.head.load(Ordering::Acquire);
            if ring.distance(self.head, self.tail) == ring.slots.len() {
                return false;
            }
        }
        report_all(Kind::Store, ring.slot(self.tail));
        self.tail = ring.after(self.tail);
        ring.tail.store(self.tail, Ordering::Release);
        true
    }
}

/// The reader's end.
#[derive(Debug)]
pub struct Consumer<T> {
    ring: Arc<Ring<T>>,
    head: usize,
    tail: usize,
}

impl<T> Consumer<T> {
    /// Takes an item; false if there is none.
    pub fn pop(&mut self) -> bool {
        let ring = &*self.ring;
        if self.head == self.tail {
            self.tail = ring.tail.load(Ordering::Acquire);
            if self.head == self.tail {
                return false;
            }
        }
        report_all(Kind::Load, ring.slot(self.head));
        self.head = ring.after(self.head);
        ring.head.store(self.head, Ordering::Release);
        true
    }
}
