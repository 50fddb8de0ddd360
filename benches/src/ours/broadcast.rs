//! The broadcast ring as it is, with its slots on the heap.

use std::ops::Deref;
use std::sync::Arc;

use mycelium_core::Message;
use mycelium_core::message::{Words, from_words, to_words};
use mycelium_core::ring::broadcast::{
    Broadcast, Consumer, Look, Producer, ReaderWords, Storage, Word, WriterWords, slot_words,
};

use crate::ends::{CAPACITY, Ends, Pop, Push};
use crate::sample::Sample;

pub(crate) const RING: &str = "our ring alone";

/// The memory of a bare ring.
pub(crate) struct Heap {
    slots: Box<[Word]>,
    writer: WriterWords,
    readers: Box<[ReaderWords]>,
}

impl Storage for Heap {
    #[inline]
    fn slots(&self) -> &[Word] {
        &self.slots
    }

    #[inline]
    fn writer(&self) -> &WriterWords {
        &self.writer
    }

    #[inline]
    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.readers.get(index)
    }
}

/// A bare ring as its ends hold it.
#[derive(Clone)]
pub(crate) struct Ring(Arc<Broadcast<Heap>>);

impl Deref for Ring {
    type Target = Broadcast<Heap>;

    #[inline]
    fn deref(&self) -> &Broadcast<Heap> {
        &self.0
    }
}

impl Push for Producer<Ring> {
    type Item = Sample;

    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        self.try_push(to_words(sample).as_ref(), size_of::<Sample>()).is_ok()
    }
}

impl Pop for Consumer<Ring> {
    type Item = Sample;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        let mut words = <Sample as Message>::Words::ZERO;
        let Look::Message { .. } = self.look(words.as_mut()) else { return None };
        let sample = from_words::<Sample>(&words).ok()?;
        let result = read(&sample);
        self.advance();
        Some(result)
    }
}

/// The writer's end, and `readers` that it never passes.
pub(crate) fn many(readers: usize) -> (Producer<Ring>, Vec<Consumer<Ring>>) {
    let words = CAPACITY * slot_words(size_of::<Sample>());
    let storage = Heap {
        slots: (0..words).map(|_| Word::new()).collect(),
        writer: WriterWords::new(),
        readers: (0..readers).map(|_| ReaderWords::new()).collect(),
    };
    let ring = Broadcast::new(storage, CAPACITY, size_of::<Sample>());
    let ring = Ring(Arc::new(ring.expect("the storage has the right size")));
    let reader = || Broadcast::gating(ring.clone()).expect("there is an entry for each");
    let receivers = std::iter::repeat_with(reader).take(readers).collect();
    (Broadcast::producer(ring).expect("nobody else writes"), receivers)
}

pub(crate) fn one() -> Ends<Producer<Ring>, Consumer<Ring>> {
    let (sender, mut receivers) = many(1);
    Ends { name: RING, sender, receiver: receivers.remove(0) }
}
