//! The doorbell under loom: no wake is lost, whoever comes first, with one ringer and with two.
#![cfg(loom)]

use std::sync::Arc as Shared;
use std::sync::atomic::AtomicBool;
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;
use mycelium_core::doorbell::{Doorbell, announce};
use mycelium_core::sync::weaken;

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

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_registration() {
    weaken("waker.registered");
    nobody_oversleeps(1, 1);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_take() {
    weaken("waker.take");
    nobody_oversleeps(1, 1);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_give_back() {
    weaken("waker.taken");
    nobody_oversleeps(1, 2);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_register() {
    weaken("waker.register");
    nobody_oversleeps(1, 2);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_hand_back() {
    weaken("waker.handed-back");
    nobody_oversleeps(2, 2);
}
