//! Subscriptions with many publishers: they find every message, and every publisher is woken.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::thread;

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{
    Delivery, Policy, Publisher, Subscription, TaskBudget, TryRecv, poll_with,
};
use proptest::prelude::*;

use super::{LocalTopic, Wakes, cases, probe, receive_many, send};

/// More than a subscription looks at in turn, and more than the bits of a word.
const MANY: usize = if cfg!(miri) { 12 } else { 150 };

fn publishers(local: &LocalTopic, count: usize) -> Vec<Publisher<Probe>> {
    (0..count).map(|_| local.publisher("publisher")).collect()
}

fn numbers(reader: &mut Subscription<Probe>) -> Vec<u64> {
    std::iter::from_fn(|| reader.try_recv().delivery()?.message())
        .map(|probe| probe.number)
        .collect()
}

#[test]
fn messages_of_all_publishers_are_found_and_a_sleeping_reader_is_woken() {
    let local = LocalTopic::open(4);
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut publishers = publishers(&local, MANY);
    assert_eq!(numbers(&mut reader), []);
    for (number, publisher) in publishers.iter_mut().enumerate() {
        let (wakes, waker) = Wakes::waker();
        assert!(pin!(reader.recv()).poll(&mut Context::from_waker(&waker)).is_pending());
        publisher.try_emit(probe(number as u64)).unwrap();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "publisher {number}");
        assert_eq!(numbers(&mut reader), [number as u64]);
        assert_eq!(numbers(&mut reader), []);
    }
    for (number, publisher) in publishers.iter_mut().enumerate() {
        publisher.try_emit(probe(number as u64)).unwrap();
    }
    let mut all = numbers(&mut reader);
    all.sort_unstable();
    assert!(all.into_iter().eq(0..MANY as u64));
    // Their ends are found, too.
    drop(publishers);
    assert!(matches!(reader.try_recv(), TryRecv::Closed));
}

#[test]
fn batches_have_messages_of_many_publishers() {
    let local = LocalTopic::open(4);
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut publishers = publishers(&local, MANY);
    for round in 0..3 {
        for publisher in publishers.iter_mut().skip(round).step_by(7) {
            send(publisher, 0..2);
        }
        let (expected, mut received) = (2 * (MANY - round).div_ceil(7), 0);
        while received < expected {
            let batch = receive_many(&mut reader, 20);
            assert!(!batch.is_empty());
            received += batch.len();
        }
        assert_eq!(received, expected);
        assert_eq!(receive_many(&mut reader, 20), []);
        assert!(publishers.iter().all(|publisher| publisher.depth() == 0), "all are done");
    }
}

/// A poll of the reader's task wakes those publishers whose messages it has taken.
#[test]
fn publishers_that_wait_are_woken_after_the_poll() {
    let local = LocalTopic::open(2);
    let budget = TaskBudget::new();
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut wakes = [reader.attach(&budget)];
    let mut publishers = publishers(&local, MANY);
    // New publishers are woken once in any case.
    publishers[0].try_emit(probe(0)).unwrap();
    poll_with(&budget, &mut wakes, || {
        assert!(reader.try_recv().delivery().is_some());
        reader.done();
    });
    for publisher in &mut publishers {
        publisher.try_emit(probe(0)).unwrap();
    }
    // One message in each poll: it is done at the next receive.
    for taken in 0..=MANY {
        let mut waiting = Vec::new();
        for publisher in &mut publishers {
            let (woken, waker) = Wakes::waker();
            let waits = publisher.poll_confirmed(&Context::from_waker(&waker)).is_pending();
            waiting.push((woken, waits));
        }
        poll_with(&budget, &mut wakes, || {
            assert_eq!(reader.try_recv().delivery().is_some(), taken < MANY);
        });
        let mut woken_early = 0;
        for (publisher, (woken, waits)) in publishers.iter().zip(waiting) {
            let (is_woken, is_done) = (woken.0.load(Ordering::SeqCst) > 0, publisher.depth() == 0);
            assert!(!waits || !is_done || is_woken, "not woken after {taken} messages");
            woken_early += usize::from(is_woken && !is_done);
        }
        assert!(woken_early <= 1, "{woken_early} of {MANY} are woken for nothing");
    }
    assert!(publishers.iter().all(|publisher| publisher.depth() == 0));
}

#[derive(Clone, Debug)]
enum Operation {
    Join,
    End(usize),
    Emit(usize),
    Receive(usize),
    ReceiveMany(usize),
}

proptest! {
    #![proptest_config(cases(60, 2))]

    /// Publishers come and go; each message arrives once, in the order of its publisher.
    #[test]
    fn members_that_come_and_go_lose_nothing(
        operations in prop::collection::vec(
            prop_oneof![
                3 => Just(Operation::Join),
                2 => any::<usize>().prop_map(Operation::End),
                6 => any::<usize>().prop_map(Operation::Emit),
                2 => (0..20usize).prop_map(Operation::Receive),
                1 => (1..20usize).prop_map(Operation::ReceiveMany),
            ],
            1..if cfg!(miri) { 60 } else { 1500 },
        )
    ) {
        let local = LocalTopic::open(4);
        let _open = local.0.keep_open();
        let (mut reader, mut next) = (local.subscribe("reader", Policy::Block), 0);
        let (mut publishers, mut expected) = (Vec::new(), BTreeMap::new());
        let take = |delivery: Delivery<Probe>, expected: &mut BTreeMap<u64, Vec<u64>>| {
            let probe = delivery.message().unwrap();
            let numbers = expected.get_mut(&probe.publisher).unwrap();
            assert_eq!(numbers.remove(0), probe.number);
        };
        for operation in operations {
            match operation {
                Operation::Join => {
                    publishers.push((next, 0, local.publisher("publisher")));
                    expected.insert(next, Vec::new());
                    next += 1;
                }
                Operation::End(index) if !publishers.is_empty() => {
                    let index = index % publishers.len();
                    publishers.swap_remove(index);
                }
                Operation::Emit(index) if !publishers.is_empty() => {
                    let index = index % publishers.len();
                    let (publisher, number, end) = &mut publishers[index];
                    let probe = Probe { publisher: *publisher, number: *number };
                    if end.try_emit(probe).is_ok() {
                        expected.get_mut(publisher).unwrap().push(*number);
                        *number += 1;
                    }
                }
                Operation::End(_) | Operation::Emit(_) => {}
                Operation::Receive(count) => {
                    for _ in 0..count {
                        let Some(delivery) = reader.try_recv().delivery() else {
                            prop_assert!(expected.values().all(Vec::is_empty));
                            break;
                        };
                        take(delivery, &mut expected);
                    }
                }
                Operation::ReceiveMany(limit) => {
                    let batch = receive_many(&mut reader, limit);
                    batch.into_iter().for_each(|delivery| take(delivery, &mut expected));
                }
            }
            let left: usize = expected.values().map(Vec::len).sum();
            // A message or a batch in flight counts as left for the reader.
            prop_assert!(reader.depth() >= left);
        }
        while let Some(delivery) = reader.try_recv().delivery() {
            take(delivery, &mut expected);
        }
        prop_assert!(expected.values().all(Vec::is_empty));
    }
}

/// Threads that publish and read as fast as they can.
#[test]
fn threads_lose_no_message_and_no_wake() {
    let (threads, each, count) = if cfg!(miri) { (2, 5, 3) } else { (4, 30, 300) };
    let local = LocalTopic::open(4);
    let mut reader = local.subscribe("reader", Policy::Block);
    let writers: Vec<_> = (0..threads)
        .map(|_| {
            let mut publishers = publishers(&local, each);
            thread::spawn(move || {
                pollster::block_on(async {
                    for number in 0..count {
                        for publisher in &mut publishers {
                            publisher.emit(probe(number)).await.unwrap();
                        }
                    }
                });
            })
        })
        .collect();
    let mut taken = 0;
    pollster::block_on(async {
        while let Some(delivery) = reader.recv().await {
            assert!(delivery.message().is_some());
            taken += 1;
        }
    });
    assert_eq!(taken, threads * each as u64 * count);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}
