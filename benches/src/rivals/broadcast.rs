//! photon-ring: one sender, and every receiver gets every message.

use mycelium_core::message::decode_ref;
use photon_ring::{Publisher, Subscriber};
use zerocopy::{IntoBytes, transmute};

use crate::ends::{CAPACITY, Ends, Pop, Push};
use crate::rivals::PHOTON;
use crate::sample::Sample;

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
        // Read in place: a second copy would wait for the stores of the first one.
        decode_ref(words.as_bytes()).ok().map(read)
    }
}

/// photon-ring with a publisher that never overwrites a message before it is read.
pub(crate) fn many(readers: usize) -> (Publisher<Words>, Vec<Subscriber<Words>>) {
    let (publisher, ring) = photon_ring::channel_bounded(CAPACITY, 0);
    (publisher, (0..readers).map(|_| ring.subscribe()).collect())
}

/// As [`many`], with one reader.
pub(crate) fn pair() -> Ends<Publisher<Words>, Subscriber<Words>> {
    let (sender, mut receivers) = many(1);
    Ends::new(PHOTON, (sender, receivers.remove(0)))
}
