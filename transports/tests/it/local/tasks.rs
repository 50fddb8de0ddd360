//! Handles in tasks: how long they spin before they park, when they yield, and how they join the
//! child task in whose polls they are used.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mycelium_core::wait::WaitStrategy;
use mycelium_transports::local::{ChildTask, Policy, TaskBudget, poll_with};

use super::{LocalTopic, probe, waits_for};
use crate::waiter::Waiter;

/// Polls until the handle parks, and returns the number of polls.
fn polls_to_park(mut poll: impl FnMut(&Context<'_>) -> bool) -> usize {
    let waiter = Waiter::new();
    let parks = |_: &usize| {
        assert!(poll(&waiter.context()), "it must be pending");
        waiter.wakes() == 0
    };
    (1..).find(parks).unwrap()
}

#[test]
fn a_waiter_spins_as_often_as_its_strategy_says() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(2).join(Policy::Block);
    for (wait, polls) in [
        (WaitStrategy::Park, 1),
        (WaitStrategy::SpinThenPark(WaitStrategy::SPINS), 1),
        (WaitStrategy::SpinThenPark(WaitStrategy::SPINS + 1), 2),
        (WaitStrategy::SpinThenPark(3 * WaitStrategy::SPINS), 3),
    ] {
        reader.set_wait_strategy(wait);
        publisher.set_wait_strategy(wait);
        // Each wait starts with the full number of spins, so this runs twice.
        for _ in 0..2 {
            let polled = polls_to_park(|context| reader.poll_recv(context).is_pending());
            assert_eq!(polled, polls, "{wait:?}");
            (0..2).for_each(|number| publisher.try_emit(probe(number)).unwrap());
            let polled =
                polls_to_park(|context| publisher.poll_emit(context, &probe(2)).is_pending());
            assert_eq!(polled, polls, "{wait:?}");
            while reader.try_recv().delivery().is_some() {}
        }
    }
    reader.set_wait_strategy(WaitStrategy::Spin);
    let waiter = Waiter::new();
    for _ in 1..10 {
        assert!(reader.poll_recv(&waiter.context()).is_pending());
        assert_eq!(waiter.wakes(), 1, "it never parks");
    }
}

#[test]
fn a_task_with_deferred_wakes_spins_less() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(2).join(Policy::Block);
    let budget = TaskBudget::new();
    let mut deferred = [reader.attach(&budget)];
    // One poll does all spins. But taking the message has made room, and the publisher has not been
    // woken yet.
    reader.set_wait_strategy(WaitStrategy::SpinThenPark(WaitStrategy::SPINS));
    publisher.try_emit(probe(0)).unwrap();
    let polls = polls_to_park(|context| {
        poll_with(&budget, &mut deferred, || {
            reader.try_recv();
            reader.poll_recv(context).is_pending()
        })
    });
    assert_eq!(polls, 2);
}

#[test]
fn a_task_wakes_only_the_others_of_the_handles_that_it_used() {
    let budget = TaskBudget::new();
    let [busy, quiet] = [(); 2].map(|()| LocalTopic::open(2).join(Policy::Block));
    let ((_busy, mut busy_reader, mut busy), (_quiet, mut quiet_reader, mut quiet)) = (busy, quiet);
    let mut deferred = [busy.attach(&budget), quiet.attach(&budget)];
    let [reads_busy, reads_quiet] = [(); 2].map(|()| Waiter::new());
    // The first poll with an operation wakes all.
    poll_with(&budget, &mut deferred, || busy.try_emit(probe(0)).unwrap());
    waits_for(&reads_quiet, &mut quiet_reader);
    for _ in 0..3 {
        waits_for(&reads_busy, &mut busy_reader);
        poll_with(&budget, &mut deferred, || busy.try_emit(probe(0)).unwrap());
        assert_eq!((reads_busy.wakes(), reads_quiet.wakes()), (1, 0));
        assert!(busy_reader.try_recv().delivery().is_some());
        busy_reader.done();
    }
    poll_with(&budget, &mut deferred, || quiet.try_emit(probe(0)).unwrap());
    assert_eq!(reads_quiet.wakes(), 1);

    // The same task takes messages of both topics.
    let mut deferred = [busy_reader.attach(&budget), quiet_reader.attach(&budget)];
    let [mut busy, mut quiet] = [(busy, 2), (quiet, 1)].map(|(mut publisher, room)| {
        (0..room).for_each(|number| publisher.try_emit(probe(number)).unwrap());
        publisher
    });
    let [writes_busy, writes_quiet] = [(); 2].map(|()| Waiter::new());
    poll_with(&budget, &mut deferred, || {
        assert!(busy_reader.try_recv().delivery().is_some());
        busy_reader.done();
    });
    busy.try_emit(probe(2)).unwrap();
    assert!(quiet.poll_emit(&writes_quiet.context(), &probe(2)).is_pending());
    for _ in 0..3 {
        assert!(busy.poll_emit(&writes_busy.context(), &probe(2)).is_pending());
        poll_with(&budget, &mut deferred, || {
            assert!(busy_reader.try_recv().delivery().is_some());
            busy_reader.done();
        });
        assert_eq!((writes_busy.wakes(), writes_quiet.wakes()), (1, 0));
        assert!(busy.poll_emit(&writes_busy.context(), &probe(2)).is_ready());
    }
    poll_with(&budget, &mut deferred, || {
        assert!(quiet_reader.try_recv().delivery().is_some());
        quiet_reader.done();
    });
    assert_eq!(writes_quiet.wakes(), 1);
}

#[test]
fn a_spinning_publisher_is_rejected_at_once() {
    let (_local, _reader, mut publisher) = LocalTopic::open(2).join(Policy::Reject);
    publisher.set_wait_strategy(WaitStrategy::Spin);
    (0..2).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    let emitted = publisher.poll_emit(&Context::from_waker(Waker::noop()), &probe(2));
    assert!(matches!(emitted, Poll::Ready(Err(_))));
}

#[test]
fn a_handle_without_a_task_yields_by_its_own_count() {
    let local = LocalTopic::open(2);
    let mut publisher = local.publisher("publisher");
    let waiter = Waiter::new();
    let context = waiter.context();
    let emits = (0..1000).filter(|it| publisher.poll_emit(&context, &probe(*it)).is_ready());
    let emits = emits.count();
    assert!((990..1000).contains(&emits), "{emits}");
    assert_eq!(waiter.wakes(), 1000 - emits, "a yield wakes the task");
}

#[test]
fn a_handle_follows_the_task_that_uses_it_and_returns_to_its_own() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(512).join(Policy::Block);
    let waiter = Waiter::new();
    let own = TaskBudget::new();
    let mut deferred = [publisher.attach(&own)];
    let mut children = [(); 2].map(|()| ChildTask::new(TaskBudget::new()));
    for _ in 0..3 {
        for child in &mut children {
            waits_for(&waiter, &mut reader);
            child.poll(|| {
                publisher.try_emit(probe(0)).unwrap();
                assert_eq!(waiter.wakes(), 0);
            });
            assert_eq!(waiter.wakes(), 1);
        }
        waits_for(&waiter, &mut reader);
        poll_with(&own, &mut deferred, || {
            publisher.try_emit(probe(0)).unwrap();
            assert_eq!(waiter.wakes(), 0);
        });
        assert_eq!(waiter.wakes(), 1);
    }
    // A handle that moves between tasks too often wakes at once, which needs no allocation.
    for round in 0..10 {
        let child = &mut children[round % 2];
        waits_for(&waiter, &mut reader);
        child.poll(|| publisher.try_emit(probe(0)).unwrap());
        assert_eq!(waiter.wakes(), 1);
    }
}

#[test]
fn what_a_child_task_receives_wakes_publishers_at_the_end_of_its_poll() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(16).join(Policy::Block);
    let waiter = Waiter::new();
    let mut context = waiter.context();
    let mut child = ChildTask::new(TaskBudget::new());
    for _ in 0..3 {
        while publisher.try_emit(probe(0)).is_ok() {}
        assert!(pin!(publisher.emit(probe(1))).as_mut().poll(&mut context).is_pending());
        waiter.wakes();
        child.poll(|| {
            while reader.try_recv().delivery().is_some() {}
            assert_eq!(waiter.wakes(), 0);
        });
        assert_eq!(waiter.wakes(), 1);
    }
}

#[test]
fn a_child_task_that_panics_leaves_its_thread_as_it_was() {
    let (_local, mut reader, mut publisher) = LocalTopic::open(16).join(Policy::Block);
    let mut child = ChildTask::new(TaskBudget::new());
    let panics = std::panic::AssertUnwindSafe(|| {
        child.poll(|| {
            publisher.try_emit(probe(0)).unwrap();
            panic!("no luck");
        });
    });
    std::panic::catch_unwind(panics).unwrap_err();
    let waiter = Waiter::new();
    waits_for(&waiter, &mut reader);
    publisher.try_emit(probe(1)).unwrap();
    assert_eq!(waiter.wakes(), 1, "outside of the task");
    waits_for(&waiter, &mut reader);
    child.poll(|| publisher.try_emit(probe(2)).unwrap());
    assert_eq!(waiter.wakes(), 1);
}
