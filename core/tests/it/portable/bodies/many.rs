//! The rings for many writers and readers, on one thread.

use mycelium_core::ring::{
    PopError, PushError,
    mpmc::{self, Mpmc},
};

pub(crate) fn mpmc_skips_aborted_slots() {
    let ring = mpmc::Inline::<u32, 4>::new();
    let (mut one, mut other) = (Mpmc::producer(&ring), Mpmc::producer(&ring));
    let mut reader = Mpmc::consumer(&ring);
    let mut grant = one.grant(2).unwrap();
    grant.push(1).unwrap();
    other.try_push(2).unwrap();
    assert_eq!(reader.try_pop(), Err(PopError::Empty), "the next item is not there yet");
    drop(grant);
    assert_eq!(reader.try_pop(), Ok(2));
    ring.close();
    assert_eq!(other.try_push(3), Err(PushError::Closed(3)));
    assert_eq!(reader.try_pop(), Err(PopError::Closed));
}
