//! Backpressure of a publisher: the threshold with its two marks, and the notices about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use mycelium_transports::local::{
    Policy, Start, SubscribeOptions, TaskBudget, Threshold, TryRecv, poll_with,
};
use proptest::prelude::*;

use super::{LocalTopic, probe};
use crate::deliveries::handle_each;

/// The `drop-newest` subscription has an entry in the publisher's ring, which stays behind.
#[test]
fn readers_end_backpressure_beside_a_slow_drop_newest_subscription() {
    let (local, mut reader, mut publisher) = LocalTopic::open(8).join(Policy::Block);
    let _slow = local.subscribe("slow", Policy::DropNewest);
    let (sender, changes) = mpsc::channel();
    publisher.observe_pressure(move |change| _ = sender.send(change.exceeded));
    for _ in 0..3 {
        (0..7).for_each(|number| publisher.try_emit(probe(number)).unwrap());
        assert_eq!(changes.try_iter().collect::<Vec<_>>(), [true]);
        handle_each(&mut reader, 0..7);
        // The reader's side notifies; the publisher does nothing.
        assert_eq!(changes.try_iter().collect::<Vec<_>>(), [false]);
    }
}

#[test]
fn a_reader_that_joins_with_a_depth_may_exceed_the_threshold() {
    for policy in [Policy::Block, Policy::Reject, Policy::DropNewest, Policy::DropOldest] {
        let local = LocalTopic::open(8);
        let mut publisher = local.publisher("publisher");
        let (sender, changes) = mpsc::channel();
        publisher.observe_pressure(move |change| _ = sender.send(change.depth));
        (0..8).for_each(|number| publisher.try_emit(probe(number)).unwrap());
        let options = SubscribeOptions::new(policy, Start::Oldest);
        let _late = local.subscribe("late", options);
        let expected: &[usize] = if policy.is_gating() { &[8] } else { &[] };
        assert_eq!(changes.try_iter().collect::<Vec<_>>(), expected, "{policy}");
        assert_eq!(publisher.backpressure_threshold_exceeded(), policy.is_gating(), "{policy}");
    }
}

/// In tasks, each side compares the depth after its own poll.
#[test]
fn observers_are_notified_after_polls() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(16).join(Policy::Block);
    let exceeded = Arc::new(AtomicBool::new(false));
    let seen = exceeded.clone();
    publisher.observe_pressure(move |change| seen.store(change.exceeded, Ordering::SeqCst));
    let (writing, reading) = (TaskBudget::new(), TaskBudget::new());
    let mut sends = [publisher.attach(&writing)];
    let mut takes = [reader.attach(&reading)];
    for _ in 0..100 {
        poll_with(&writing, &mut sends, || {
            (0..13).for_each(|number| publisher.try_emit(probe(number)).unwrap());
            assert!(!exceeded.load(Ordering::SeqCst), "not within a poll");
        });
        assert!(exceeded.load(Ordering::SeqCst));
        poll_with(&reading, &mut takes, || {
            handle_each(&mut reader, 0..13);
            assert!(exceeded.load(Ordering::SeqCst));
        });
        assert!(!exceeded.load(Ordering::SeqCst));
    }
}

/// Both sides run at full speed: changes alternate, and the last one is right.
#[test]
fn changes_alternate_and_the_last_one_is_right() {
    let count = if cfg!(miri) { 200 } else { 100_000 };
    for left in [0, 16] {
        let (_local, mut reader, mut publisher) = LocalTopic::open(16).join(Policy::Block);
        let last = Arc::new(AtomicBool::new(false));
        let seen = last.clone();
        publisher.observe_pressure(move |change| {
            assert_ne!(seen.swap(change.exceeded, Ordering::SeqCst), change.exceeded);
        });
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..count + left {
                    while publisher.try_emit(probe(number as u64)).is_err() {
                        thread::yield_now();
                    }
                }
            });
            scope.spawn(|| {
                let mut taken = 0;
                while taken < count {
                    match reader.try_recv() {
                        TryRecv::Delivery(_) => taken += 1,
                        _ => thread::yield_now(),
                    }
                }
                reader.done();
            });
        });
        // The observer knows the final state without another call.
        assert_eq!(last.load(Ordering::SeqCst), left > 0);
    }
}

proptest! {
    #[test]
    fn any_sequence_of_operations_agrees_with_a_model(
        percent in 1..=100u32,
        operations in prop::collection::vec((any::<bool>(), 1..20usize), 1..200),
    ) {
        let local = LocalTopic::open(32);
        let threshold = Threshold::percent(percent).unwrap();
        local.topic.set_threshold(threshold);
        let (upper, lower) = threshold.marks(32);
        prop_assert!((1..=32).contains(&upper) && lower < upper);
        let mut reader = local.subscribe("reader", Policy::Reject);
        let mut publisher = local.publisher("publisher");
        let (mut depth, mut exceeded) = (0, false);
        for (sends, count) in operations {
            for _ in 0..count {
                if sends {
                    depth += usize::from(publisher.try_emit(probe(0)).is_ok());
                } else {
                    depth -= usize::from(matches!(reader.try_recv(), TryRecv::Delivery(_)));
                    reader.done();
                }
                exceeded = if exceeded { depth > lower } else { depth >= upper };
                prop_assert_eq!(publisher.depth(), depth);
                prop_assert_eq!(publisher.backpressure_threshold_exceeded(), exceeded);
            }
        }
    }
}
