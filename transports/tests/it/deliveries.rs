//! Assertions on the next delivery of a subscription.
#![cfg(any(feature = "metrics", all(target_os = "linux", not(miri))))]

use std::fmt::Debug;
use std::ops::Range;
use std::task::{Context, Poll, Waker};

use mycelium_core::Message;
use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{Delivery, GapReason, Subscription, TryRecv};

pub(crate) fn probe(number: u64) -> Probe {
    Probe { publisher: 0, number }
}

/// Returns the number of the next message, if there is one.
#[track_caller]
pub(crate) fn take(reader: &mut Subscription<Probe>) -> Option<u64> {
    match reader.try_recv() {
        TryRecv::Delivery(Delivery::Msg(probe)) => Some(probe.number),
        TryRecv::Delivery(Delivery::Gap(gap)) => panic!("{gap}"),
        TryRecv::Empty | TryRecv::Closed => None,
    }
}

/// Returns a batch of at most `most` deliveries.
#[track_caller]
pub(crate) fn receive<M: Message>(reader: &mut Subscription<M>, most: usize) -> Vec<Delivery<M>> {
    let (context, mut batch) = (Context::from_waker(Waker::noop()), Vec::new());
    let received = reader.poll_recv_many(&context, &mut batch, most);
    assert_eq!(received, Poll::Ready(batch.len()));
    batch
}

#[track_caller]
pub(crate) fn assert_next(reader: &mut Subscription<Probe>, number: u64) {
    assert_eq!(take(reader), Some(number));
}

#[track_caller]
pub(crate) fn assert_each(reader: &mut Subscription<Probe>, numbers: Range<u64>) {
    numbers.for_each(|number| assert_next(reader, number));
}

/// Asserts that these messages are next, and finishes them.
#[track_caller]
pub(crate) fn handle_each(reader: &mut Subscription<Probe>, numbers: Range<u64>) {
    assert_each(reader, numbers);
    reader.done();
}

/// Asserts that the next delivery is an exact gap, and returns its reason.
#[track_caller]
pub(crate) fn assert_gap<M: Message + Debug>(
    reader: &mut Subscription<M>,
    count: u64,
) -> GapReason {
    let received = reader.try_recv();
    let TryRecv::Delivery(Delivery::Gap(gap)) = received else {
        panic!("expected a gap of {count}, found {received:?}")
    };
    assert_eq!((gap.count, gap.exact()), (count, true));
    gap.reason
}

#[track_caller]
pub(crate) fn assert_evicted(reader: &mut Subscription<Probe>, missed: u64) {
    assert_eq!(assert_gap(reader, missed), GapReason::Evicted);
}
