//! Subscriptions with many publishers find every message, and wake every publisher.

use std::thread;

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{Policy, Publisher, TaskBudget, poll_with};

use super::{LocalTopic, probe};
use crate::waiter::Waiter;

/// More publishers than a subscription checks in turn, and than a word has bits.
const MANY: usize = if cfg!(miri) { 12 } else { 150 };

fn publishers(local: &LocalTopic, count: usize) -> Vec<Publisher<Probe>> {
    (0..count).map(|_| local.publisher("publisher")).collect()
}

/// A poll of the reader's task wakes the publishers whose messages it has finished.
#[test]
fn publishers_that_wait_are_woken_after_the_poll() {
    let local = LocalTopic::open(2);
    let budget = TaskBudget::new();
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut wakes = [reader.attach(&budget)];
    let mut publishers = publishers(&local, MANY);
    // A new publisher is woken once in any case, so this happens before the test.
    publishers[0].try_emit(probe(0)).unwrap();
    poll_with(&budget, &mut wakes, || {
        assert!(reader.try_recv().delivery().is_some());
        reader.done();
    });
    publishers.iter_mut().for_each(|publisher| publisher.try_emit(probe(0)).unwrap());
    // Each poll takes one message, which is finished at the next receive.
    for taken in 0..=MANY {
        let mut waiting = Vec::new();
        for publisher in &mut publishers {
            let waiter = Waiter::new();
            let waits = publisher.poll_confirmed(&waiter.context()).is_pending();
            waiting.push((waiter, waits));
        }
        poll_with(&budget, &mut wakes, || {
            assert_eq!(reader.try_recv().delivery().is_some(), taken < MANY);
        });
        let mut woken_early = 0;
        for (publisher, (waiter, waits)) in publishers.iter().zip(waiting) {
            let (is_woken, is_done) = (waiter.wakes() > 0, publisher.depth() == 0);
            assert!(!waits || !is_done || is_woken, "not woken after {taken} messages");
            woken_early += usize::from(is_woken && !is_done);
        }
        assert!(woken_early <= 1, "{woken_early} of {MANY} are woken for nothing");
    }
    assert!(publishers.iter().all(|publisher| publisher.depth() == 0));
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
