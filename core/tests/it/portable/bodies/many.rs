//! The rings for many writers and readers, on one thread.

use mycelium_core::ring::{
    PopError, PushError,
    mpmc::{self, Mpmc},
};

const LAPS: u32 = if cfg!(miri) { 5 } else { 50 };

pub(crate) fn mpmc_keeps_the_order_of_all() {
    static RING: mpmc::Inline<u32, 4> = mpmc::Inline::new();
    let (mut one, mut other) = (Mpmc::producer(&RING), Mpmc::producer(&RING));
    let (mut reader, mut second) = (Mpmc::consumer(&RING), Mpmc::consumer(&RING));
    for lap in 0..LAPS {
        for item in [4 * lap, 4 * lap + 2] {
            one.try_push(item).unwrap();
            other.try_push(item + 1).unwrap();
        }
        assert_eq!(one.try_push(0), Err(PushError::Full(0)));
        for item in [4 * lap, 4 * lap + 2] {
            assert_eq!(reader.try_pop(), Ok(item));
            assert_eq!(second.try_pop(), Ok(item + 1));
        }
        assert_eq!(reader.try_pop(), Err(PopError::Empty));
    }
}

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
