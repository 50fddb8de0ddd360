//! Assertions on the next delivery of a subscription.
#![cfg(any(feature = "metrics", all(target_os = "linux", not(miri))))]

use std::ops::Range;

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{Delivery, GapReason, Subscription, TryRecv};

pub(crate) fn probe(number: u64) -> Probe {
    Probe { publisher: 0, number }
}

#[track_caller]
pub(crate) fn assert_next(reader: &mut Subscription<Probe>, number: u64) {
    match reader.try_recv() {
        TryRecv::Delivery(Delivery::Msg(probe)) => assert_eq!(probe.number, number),
        other => panic!("expected message {number}, found {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_each(reader: &mut Subscription<Probe>, numbers: Range<u64>) {
    numbers.for_each(|number| assert_next(reader, number));
}

/// Asserts that the next delivery is an exact gap, and returns its reason.
#[track_caller]
pub(crate) fn assert_gap(reader: &mut Subscription<Probe>, count: u64) -> GapReason {
    match reader.try_recv() {
        TryRecv::Delivery(Delivery::Gap(gap)) => {
            assert_eq!((gap.count, gap.exact), (count, true));
            gap.reason
        }
        other => panic!("expected a gap of {count}, found {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_evicted(reader: &mut Subscription<Probe>, missed: u64) {
    assert_eq!(assert_gap(reader, missed), GapReason::Evicted);
}
