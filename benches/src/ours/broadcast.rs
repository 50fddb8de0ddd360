//! The broadcast ring alone, with its slots on the heap.

use std::sync::Arc;

use mycelium_core::message::{decode_ref, to_words};
use mycelium_core::ring::broadcast::{Broadcast, Consumer, HeapStorage, Layout, Producer};

use crate::ends::{Ends, Pop, Push};
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

/// The writer's end, and gating readers.
pub(crate) fn many(capacity: usize, readers: usize) -> (Producer<Ring>, Vec<Consumer<Ring>>) {
    let ring = Broadcast::boxed(Layout::exact(capacity, size_of::<Sample>()), readers);
    let ring = Arc::new(ring.expect("the memory is large enough"));
    let reader = || Broadcast::gating(ring.clone()).expect("there is an entry for each");
    let receivers = std::iter::repeat_with(reader).take(readers).collect();
    (Broadcast::producer(ring).expect("a fresh ring has no producer"), receivers)
}

pub(crate) fn pair(name: &'static str, capacity: usize) -> Ends<Producer<Ring>, Consumer<Ring>> {
    let (sender, mut receivers) = many(capacity, 1);
    Ends::new(name, (sender, receivers.remove(0)))
}
