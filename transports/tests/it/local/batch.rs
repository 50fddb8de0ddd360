//! Batches: messages that are emitted together.

use std::task::{Context, Poll, Waker};

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{Policy, Subscription, TaskBudget, poll_with};
use proptest::prelude::*;

use super::{LocalTopic, numbers, probe, receive, take};

fn probes(range: std::ops::Range<u64>) -> Vec<Probe> {
    range.map(probe).collect()
}

#[test]
fn a_batch_without_subscribers_is_counted_and_yields() {
    let local = LocalTopic::open(4);
    let mut publisher = local.publisher("publisher");
    let budget = TaskBudget::new();
    let mut deferred = [publisher.attach(&budget)];
    let context = Context::from_waker(Waker::noop());
    let (batch, mut sent) = (probes(0..600), 0);
    let mut poll = || {
        let poll = || publisher.poll_emit_batch(&context, &batch, &mut sent).is_ready();
        (poll_with(&budget, &mut deferred, poll), sent)
    };
    // A task yields after 256 messages, even within a batch.
    assert_eq!((poll(), poll(), poll()), ((false, 256), (false, 512), (true, 600)));
    assert_eq!(local.counted(["sent", "no_subscribers"]), [600, 600]);
}

/// The greatest depth, as other processes see it.
#[test]
fn the_line_of_a_publisher_has_its_capacity_and_its_greatest_depth() {
    let (local, mut reader, mut publisher) = LocalTopic::open(4).join(Policy::Block);
    let shown = || {
        let [capacity, remote, high_water] = local.counted(["capacity", "remote", "high_water"]);
        assert_eq!((capacity, remote), (4, 0));
        high_water
    };
    assert_eq!(shown(), 0);
    // The ring is never full, so the publisher compares depths only once per lap.
    for probe in probes(0..8) {
        publisher.try_emit(probe).unwrap();
        assert!(take(&mut reader).is_some());
    }
    assert_eq!(shown(), local.topic.rings()[0].high_water as u64);
    assert!(shown() > 0);
    // A publisher that waits for room knows that the ring is full.
    let context = Context::from_waker(Waker::noop());
    assert!(probes(8..20).iter().any(|probe| publisher.poll_emit(&context, probe).is_pending()));
    assert_eq!(shown(), 4);
    // A publisher whose message is refused knows it as well.
    let (local, _reader, mut publisher) = LocalTopic::open(4).join(Policy::Block);
    assert!(probes(0..5).into_iter().any(|probe| publisher.try_emit(probe).is_err()));
    assert_eq!(local.counted(["high_water"]), [4]);
}

proptest! {
    /// A batch has the same effect as its messages one by one.
    #[test]
    fn a_batch_is_the_same_as_its_messages(
        operations in prop::collection::vec((0..3u8, 0..12u64), 1..100),
    ) {
        let (left, right) = (LocalTopic::open(8), LocalTopic::open(8));
        let mut readers = [&left, &right].map(|local| local.subscribe("reader", Policy::Block));
        let mut publishers = [&left, &right].map(|local| local.publisher("publisher"));
        let mut number = 0;
        for (operation, count) in operations {
            if operation == 0 {
                for _ in 0..count {
                    let [one, other] = readers.each_mut().map(take);
                    prop_assert_eq!(one, other);
                }
                continue;
            }
            // Both publishers must see all free slots, because readers do not publish each position
            // at once.
            readers.iter_mut().for_each(Subscription::done);
            let batch = probes(number..number + count);
            let context = Context::from_waker(Waker::noop());
            let mut sent = 0;
            let done = publishers[0].poll_emit_batch(&context, &batch, &mut sent);
            let one_by_one = batch.iter().take_while(|message| {
                matches!(publishers[1].poll_emit(&context, message), Poll::Ready(Ok(())))
            });
            prop_assert_eq!(sent, one_by_one.count());
            prop_assert_eq!(done.is_ready(), sent == batch.len());
            prop_assert_eq!(publishers[0].depth(), publishers[1].depth());
            number += count;
        }
    }
}

#[test]
fn no_batch_exceeds_the_budget_and_none_starves_a_publisher() {
    let local = LocalTopic::open(1024);
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut publishers = [local.publisher("one"), local.publisher("two")];
    publishers[0].try_emit_batch(&probes(0..700)).unwrap();
    publishers[1].try_emit_batch(&probes(700..710)).unwrap();
    let batch = numbers(receive(&mut reader, usize::MAX));
    let first = batch.iter().filter(|number| **number < 700).count();
    assert!(first <= 33 && batch.len() == first + 10, "{first} of {}", batch.len());
    drop(publishers);
    let mut rest = batch.len();
    let counts = std::iter::repeat_with(|| numbers(receive(&mut reader, usize::MAX)).len());
    for count in counts.take_while(|count| *count > 0) {
        assert!(count <= 256);
        rest += count;
    }
    assert_eq!(rest, 710);
}
