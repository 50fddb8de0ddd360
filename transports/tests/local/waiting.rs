//! How ends wait: they look as often as their policy says, and then sleep; and how much they do before they let others run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use mycelium_core::wait::Wait;
use mycelium_transports::local::{Policy, TaskBudget, poll_with};

use super::{Own, Wakes, probe};

/// Polls until it would wait, and says how often it asked to be polled again, and how often it looked.
fn polls_until_it_sleeps(mut poll: impl FnMut(&Context<'_>) -> bool) -> usize {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    for polls in 1.. {
        assert!(poll(&Context::from_waker(&waker)), "nothing comes");
        if wakes.0.swap(0, Ordering::SeqCst) == 0 {
            return polls;
        }
    }
    unreachable!("it sleeps")
}

#[test]
fn a_waiter_spins_as_often_as_its_strategy_says() {
    let local = Own::open(2);
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut publisher = local.publisher("publisher");
    for (wait, polls) in [
        (Wait::Park, 1),
        (Wait::SpinThenPark(Wait::LOOKS), 1),
        (Wait::SpinThenPark(Wait::LOOKS + 1), 2),
        (Wait::SpinThenPark(3 * Wait::LOOKS), 3),
    ] {
        reader.set_wait_strategy(wait);
        publisher.set_wait_strategy(wait);
        // Twice: patience begins anew with each wait.
        for _ in 0..2 {
            let slept = polls_until_it_sleeps(|context| reader.poll_recv(context).is_pending());
            assert_eq!(slept, polls, "{wait:?}");
            (0..2).for_each(|number| publisher.try_emit(probe(number)).unwrap());
            let slept = polls_until_it_sleeps(|context| {
                publisher.poll_emit(context, &probe(2)).is_pending()
            });
            assert_eq!(slept, polls, "{wait:?}");
            while reader.try_recv().delivery().is_some() {}
        }
    }
    reader.set_wait_strategy(Wait::Spin);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    for polls in 1..10 {
        assert!(reader.poll_recv(&Context::from_waker(&waker)).is_pending());
        assert_eq!(wakes.0.load(Ordering::SeqCst), polls, "it never sleeps");
    }
}

#[test]
fn a_task_with_deferred_wakes_spins_less() {
    let local = Own::open(2);
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut publisher = local.publisher("publisher");
    let pulse = TaskBudget::new();
    let mut flushers = [reader.attach(&pulse)];
    // A single poll would do for all looks; but the message that was taken makes room, and nobody was told.
    reader.set_wait_strategy(Wait::SpinThenPark(Wait::LOOKS));
    publisher.try_emit(probe(0)).unwrap();
    let polls = polls_until_it_sleeps(|context| {
        poll_with(&pulse, &mut flushers, || {
            reader.try_recv();
            reader.poll_recv(context).is_pending()
        })
    });
    assert_eq!(polls, 2);
}

#[test]
fn a_spinning_reader_needs_no_wake() {
    let local = Own::open(2);
    let mut reader = local.subscribe("reader", Policy::Block);
    let mut publisher = local.publisher("publisher");
    reader.set_wait_strategy(Wait::Spin);
    publisher.set_wait_strategy(Wait::Spin);
    let count = if cfg!(miri) { 20 } else { 1000 };
    let echo = std::thread::spawn(move || {
        for number in 0..count {
            let delivery = pollster::block_on(reader.recv()).unwrap();
            assert_eq!(delivery.message(), Some(probe(number)));
        }
        reader
    });
    for number in 0..count {
        pollster::block_on(publisher.emit(probe(number))).unwrap();
    }
    echo.join().unwrap();
}

#[test]
fn a_spinning_publisher_is_rejected_at_once() {
    let local = Own::open(2);
    let _reader = local.subscribe("reader", Policy::Reject);
    let mut publisher = local.publisher("publisher");
    publisher.set_wait_strategy(Wait::Spin);
    (0..2).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    let emitted = publisher.poll_emit(&Context::from_waker(Waker::noop()), &probe(2));
    assert!(matches!(emitted, Poll::Ready(Err(_))));
}

#[test]
fn a_handle_without_a_task_yields_by_its_own_count() {
    let local = Own::open(2);
    let mut publisher = local.publisher("publisher");
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let context = Context::from_waker(&waker);
    let emits =
        (0..1000).filter(|number| publisher.poll_emit(&context, &probe(*number)).is_ready());
    let emits = emits.count();
    assert!((990..1000).contains(&emits), "{emits}");
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1000 - emits, "it asks to be polled again");
}

#[test]
fn a_task_yields_when_its_budget_is_exhausted() {
    let local = Own::open(512);
    let mut publisher = local.publisher("publisher");
    let pulse = TaskBudget::with_limit(7);
    let mut flushers = [publisher.attach(&pulse)];
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let context = Context::from_waker(&waker);
    for polls in 1..4 {
        let emits = poll_with(&pulse, &mut flushers, || {
            (0..)
                .take_while(|number| publisher.poll_emit(&context, &probe(*number)).is_ready())
                .count()
        });
        assert_eq!((emits, wakes.0.load(Ordering::SeqCst)), (7, polls));
    }
}
