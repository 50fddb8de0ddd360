//! The doorbell under loom: no wake is lost, whoever comes first, with one ringer and with two.
#![cfg(loom)]

use std::future::poll_fn;
use std::sync::Arc as Shared;
use std::sync::atomic::AtomicBool;
use std::task::{Poll, Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use mycelium_core::doorbell::{Bells, Doorbell, Growing, Row, announce};
use mycelium_core::sync::weaken;
use mycelium_loom_tests::task::{Task, finish};

/// Remembers that it was woken. Not part of the model: it is read after all threads have ended.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Shared<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// `ringers` threads publish one thing each and ring. A waiter that finds less than everything, at its second look
/// after each of `parks` parkings, goes to sleep. Then a ringer must wake it.
fn nobody_oversleeps(ringers: usize, parks: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let shared = Arc::new((Doorbell::new(), AtomicUsize::new(0)));
        let threads: Vec<_> = (0..ringers)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.1.fetch_add(1, Relaxed);
                    announce();
                    shared.0.ring();
                })
            })
            .collect();
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut asleep = shared.1.load(Relaxed) < ringers;
        for _ in 0..parks {
            if asleep {
                woken.0.store(false, Relaxed);
                shared.0.park(&waker);
                asleep = shared.1.load(Relaxed) < ringers;
            }
        }
        if !asleep {
            shared.0.unpark();
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!asleep || woken.0.load(Relaxed), "a wake was lost");
    });
}

#[test]
fn one_ringer_wakes_the_waiter() {
    nobody_oversleeps(1, 1);
}

#[test]
fn one_ringer_wakes_a_waiter_that_parks_again() {
    nobody_oversleeps(1, 2);
}

#[test]
fn two_ringers_wake_the_waiter() {
    nobody_oversleeps(2, 1);
}

/// One rings while the waiter registers and leaves the waking to it, then the other rings.
#[test]
fn two_ringers_wake_a_waiter_that_parks_again() {
    nobody_oversleeps(2, 2);
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_without_the_ringers_fence() {
    weaken("doorbell.announce");
    nobody_oversleeps(1, 1);
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_without_the_waiters_fence() {
    weaken("doorbell.park");
    nobody_oversleeps(1, 1);
}

/// A ringer may read a waker that is half written.
#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_kept() {
    weaken("doorbell.kept");
    nobody_oversleeps(1, 1);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_take() {
    weaken("doorbell.take");
    nobody_oversleeps(1, 1);
}

/// The waiter may replace a waker that a ringer is waking.
#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_taken() {
    weaken("doorbell.taken");
    nobody_oversleeps(1, 2);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_keep() {
    weaken("doorbell.keep");
    nobody_oversleeps(1, 2);
}

/// Two tasks wait for one thing each at one row, and a ringer makes two, one after the other. Or the first task is
/// `tired`: it gives up, and there is one thing for the other.
fn nobody_in_a_row_oversleeps(tired: bool) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let shared = Arc::new((Row::<2>::new(), AtomicUsize::new(0)));
        let things = if tired { 1 } else { 2 };
        let ringer = {
            let shared = shared.clone();
            thread::spawn(move || {
                for _ in 0..things {
                    shared.1.fetch_add(1, Relaxed);
                    announce();
                    shared.0.ring();
                }
            })
        };
        let other = Task::new(take(shared.clone()));
        let other = thread::spawn(move || other.run(2));
        let mut tasks = Vec::new();
        if tired {
            let seat = shared.0.take_seat().unwrap();
            shared.0.park(&seat, Waker::noop());
            if shared.0.unpark(&seat) {
                shared.0.ring();
            }
            shared.0.leave_seat(&seat);
        } else {
            tasks.push(Task::new(take(shared)).run(2));
        }
        tasks.push(other.join().unwrap());
        ringer.join().unwrap();
        assert_eq!(finish(tasks).len(), things);
    });
}

/// Takes one thing as soon as there is one.
async fn take(shared: Arc<(Row<2>, AtomicUsize)>) {
    let (row, things) = &*shared;
    let seat = row.take_seat().unwrap();
    let look = || things.fetch_update(Relaxed, Relaxed, |things| things.checked_sub(1)).is_ok();
    poll_fn(|context| {
        if look() {
            return Poll::Ready(());
        }
        row.park(&seat, context.waker());
        if look() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    row.unpark(&seat);
    if things.load(Relaxed) > 0 {
        row.ring();
    }
    row.leave_seat(&seat);
}

#[test]
fn two_waiters_in_a_row_are_woken() {
    nobody_in_a_row_oversleeps(false);
}

#[test]
fn a_wake_is_passed_on_by_who_gives_up() {
    nobody_in_a_row_oversleeps(true);
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_without_the_fence_of_a_row() {
    weaken("row.park");
    nobody_in_a_row_oversleeps(false);
}

/// A bell that nobody waits at any more forgets its waker while a ringer may still be at it.
#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_forget() {
    weaken("doorbell.forget");
    nobody_in_a_row_oversleeps(true);
}

/// Two threads need a second row at the same time, and a third one rings both of them.
fn rows_are_added() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shared = Arc::new((Growing::new(), AtomicUsize::new(0)));
        let first = shared.0.take_seat().unwrap();
        let waits = |shared: Arc<(Growing, AtomicUsize)>| {
            Task::new(async move {
                let seat = shared.0.take_seat().unwrap();
                poll_fn(|context| {
                    shared.0.park(&seat, context.waker());
                    if shared.1.load(Relaxed) == 0 { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                shared.0.unpark(&seat);
                shared.0.leave_seat(&seat);
            })
        };
        let [one, other] = [waits(shared.clone()), waits(shared.clone())];
        let thread = thread::spawn(move || one.run(2));
        let ringer = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(1, Relaxed);
                announce();
                shared.0.ring_all();
            })
        };
        let other = other.run(2);
        ringer.join().unwrap();
        assert_eq!(finish(vec![thread.join().unwrap(), other]).len(), 2);
        shared.0.leave_seat(&first);
    });
}

#[test]
fn a_row_is_added_while_another_thread_adds_one() {
    rows_are_added();
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_look_at_a_row() {
    weaken("growing.have");
    rows_are_added();
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_new_row() {
    weaken("growing.make");
    rows_are_added();
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_second_row() {
    weaken("growing.made");
    rows_are_added();
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_with_a_relaxed_seat() {
    weaken("row.take-seat");
    nobody_in_a_row_oversleeps(false);
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_with_a_relaxed_leave() {
    weaken("row.leave-seat");
    nobody_in_a_row_oversleeps(false);
}
