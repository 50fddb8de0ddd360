//! The broadcast ring as it is, with its slots on the heap.

use std::sync::Arc;

use mycelium_core::message::{decode_ref, to_words};
use mycelium_core::ring::broadcast::{Broadcast, Consumer, HeapStorage, Layout, Producer};

use crate::ends::{CAPACITY, Ends, Pop, Push};
use crate::sample::Sample;

pub(crate) const RING: &str = "our ring alone";
pub(crate) const RING_TRIP: &str = "our ring, 56 B";

type Ring = Arc<Broadcast<HeapStorage>>;

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
        let messages = self.read(1)?;
        let result = read(decode_ref(messages.get(0)?).ok()?);
        messages.release(1);
        Some(result)
    }
}

/// The writer's end, and `readers` that it never passes.
pub(crate) fn many(readers: usize) -> (Producer<Ring>, Vec<Consumer<Ring>>) {
    of(CAPACITY, readers)
}

fn of(capacity: usize, readers: usize) -> (Producer<Ring>, Vec<Consumer<Ring>>) {
    let ring = Broadcast::boxed(Layout::exact(capacity, size_of::<Sample>()), readers);
    let ring = Arc::new(ring.expect("there is memory"));
    let reader = || Broadcast::gating(ring.clone()).expect("there is an entry for each");
    let receivers = std::iter::repeat_with(reader).take(readers).collect();
    (Broadcast::producer(ring).expect("nobody else writes"), receivers)
}

pub(crate) fn one() -> Ends<Producer<Ring>, Consumer<Ring>> {
    let (sender, mut receivers) = many(1);
    Ends { name: RING, sender, receiver: receivers.remove(0) }
}

/// A ring of another size, with one reader.
pub(crate) fn small<const N: usize>() -> Ends<Producer<Ring>, Consumer<Ring>> {
    let (sender, mut receivers) = of(N, 1);
    Ends { name: RING_TRIP, sender, receiver: receivers.remove(0) }
}
