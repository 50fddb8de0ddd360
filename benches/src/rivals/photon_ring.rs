//! photon-ring, built with atomic slots: a broadcast whose publisher waits for its readers, or overwrites what they have
//! not read. Its slots are one line of a stamp and 56 bytes.

use mycelium_core::message::decode_ref;
use photon_ring::{Publisher, Subscribable, Subscriber};
use zerocopy::{IntoBytes, transmute};

use crate::ends::{CAPACITY, Ends, Pop, Push};
use crate::sample::Sample;

pub(crate) const WAITING: &str = "photon-ring, waits";

/// A message as words: its own types are `photon_ring::Pod`, which a message of ours could only become by `unsafe`.
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
        // Read where the words were copied to: another copy of them would wait for the stores of the first.
        decode_ref(words.as_bytes()).ok().map(read)
    }
}

fn many(
    readers: usize,
    (publisher, ring): (Publisher<Words>, Subscribable<Words>),
) -> (Publisher<Words>, Vec<Subscriber<Words>>) {
    (publisher, (0..readers).map(|_| ring.subscribe()).collect())
}

/// A publisher that is refused while its slowest reader is a lap behind.
pub(crate) fn waiting(readers: usize) -> (Publisher<Words>, Vec<Subscriber<Words>>) {
    many(readers, photon_ring::channel_bounded(CAPACITY, 0))
}

/// A publisher that waits for nobody: for loops that never send more than there is room for.
pub(crate) fn lossy(readers: usize) -> (Publisher<Words>, Vec<Subscriber<Words>>) {
    many(readers, photon_ring::channel(CAPACITY))
}

/// With one reader, for which the publisher waits.
pub(crate) fn one() -> Ends<Publisher<Words>, Subscriber<Words>> {
    let (sender, mut receivers) = waiting(1);
    Ends { name: WAITING, sender, receiver: receivers.remove(0) }
}
