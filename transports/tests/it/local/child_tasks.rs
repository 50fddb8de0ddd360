//! Handles join the child task in whose polls they are used.

use std::pin::pin;

use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{ChildTask, Policy, Subscription, TaskBudget, poll_with};

use super::{LocalTopic, probe};
use crate::waiter::Waiter;

/// Receives all messages, and registers for the next one.
fn waits_for(waiter: &Waiter, reader: &mut Subscription<Probe>) {
    while reader.poll_recv(&waiter.context()).is_ready() {}
}

#[test]
fn a_handle_follows_the_task_that_uses_it_and_returns_to_its_own() {
    let (_local, mut reader, mut publisher) = LocalTopic::joined(512, Policy::Block);
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
    let (_local, mut reader, mut publisher) = LocalTopic::joined(16, Policy::Block);
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
    let (_local, mut reader, mut publisher) = LocalTopic::joined(16, Policy::Block);
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
