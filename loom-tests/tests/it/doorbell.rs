//! The doorbell under loom: no wake is lost in any order, with one ringer and with two.

use std::sync::{Arc as Shared, Mutex};
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};
use loom::thread::JoinHandle;
use mycelium_core::doorbell::{Doorbell, Waiters, announce};
use mycelium_loom_tests::{Woken, beside, bounded, models};

/// The state of a model: the bell, and how many things were published.
type One = (Doorbell, AtomicUsize);

/// The cell of the bell in which the task of a model parks.
#[derive(Clone, Copy)]
enum At {
    /// The kept cell.
    Kept,
    /// The spare cell, for a task that parks while a ringer wakes by the kept waker: the model runs
    /// inside that wake.
    Spare,
}

/// Runs a function when it is woken by reference, once.
struct Runs(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Runs {
    fn wake(self: Shared<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Shared<Self>) {
        let work = self.0.lock().unwrap().take();
        work.expect("it is woken once")();
    }
}

/// Checks a model of one bell with each cell.
fn check_both(model: fn(Arc<One>)) {
    for at in [At::Kept, At::Spare] {
        check(at, model);
    }
}

/// Checks a model of one bell.
fn check(at: At, model: impl Fn(Arc<One>) + Clone + Sync + Send + 'static) {
    bounded(3, move || {
        let shared = Arc::new((Doorbell::new(), AtomicUsize::new(0)));
        match at {
            At::Kept => model(shared),
            At::Spare => {
                let (model, inside) = (model.clone(), shared.clone());
                let work = Box::new(move || model(inside));
                shared.0.park(&Waker::from(Shared::new(Runs(Mutex::new(Some(work))))));
                announce();
                shared.0.ring();
            }
        }
    });
}

/// `ringers` threads publish one thing each and ring. A waiter parks `parks` times; if its second
/// check does not find all things, it sleeps. Then a ringer must wake it. Each park uses a waker of
/// its own, or all use the `same` one.
fn no_wake_is_lost(at: At, ringers: usize, parks: usize, same: bool) {
    check(at, move |shared| {
        let threads: Vec<_> = (0..ringers)
            .map(|ringer| {
                beside(&shared, move |shared| {
                    shared.1.fetch_add(1, Relaxed);
                    if ringer == 0 {
                        shared.0.announce_and_ring();
                    } else {
                        announce();
                        shared.0.ring();
                    }
                })
            })
            .collect();
        let mut woken = Woken::new();
        let mut asleep = shared.1.load(Relaxed) < ringers;
        for _ in 0..parks {
            if asleep {
                if same {
                    woken.reset();
                } else {
                    woken = Woken::new();
                }
                shared.0.park(&woken.waker());
                asleep = shared.1.load(Relaxed) < ringers;
            }
        }
        if !asleep {
            shared.0.unpark();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!asleep || woken.get(), "a wake was lost");
    });
}

fn a_waiter_that_parks_inside_a_wake_is_woken() {
    no_wake_is_lost(At::Spare, 1, 1, true);
    no_wake_is_lost(At::Spare, 1, 2, false);
    no_wake_is_lost(At::Spare, 2, 2, true);
}

/// Publishes two things, and rings after each.
fn rings_twice(shared: &Arc<One>) -> JoinHandle<()> {
    beside(shared, |shared| {
        for _ in 0..2 {
            shared.1.fetch_add(1, Relaxed);
            announce();
            shared.0.ring();
        }
    })
}

/// A task is forgotten while a ringer may be waking it, and parks again with the same waker; the
/// ringer publishes a second thing. The bell must not assume that it still has the waker.
fn a_ringer_drops_the_waker_of_a_forgotten_waiter() {
    check_both(|shared| {
        let woken = Woken::new();
        let waker = woken.waker();
        shared.0.park(&waker);
        let ringer = rings_twice(&shared);
        shared.0.forget();
        woken.reset();
        shared.0.park(&waker);
        let asleep = shared.1.load(Relaxed) < 2;
        ringer.join().unwrap();
        assert!(woken.get() || !asleep, "a wake was lost");
        drop(waker);
        shared.0.forget();
        assert_eq!(Shared::strong_count(&woken), 1, "the bell keeps a task in memory");
    });
}

/// A ring polls the task in place, and the task unregisters, so the ringer drops the waker. Then
/// the task parks again with the same waker.
fn a_task_returns_after_leaving_inside_its_wake() {
    // The flag is a part of the model, as in an executor: a poll sees everything that was done
    // before the wake that caused it.
    struct Leaves(Arc<One>, loom::sync::atomic::AtomicBool);

    impl Wake for Leaves {
        fn wake(self: Shared<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Shared<Self>) {
            self.0.0.forget();
            self.1.swap(true, AcqRel);
        }
    }

    let shared = Arc::new((Doorbell::new(), AtomicUsize::new(0)));
    let task = Shared::new(Leaves(shared.clone(), loom::sync::atomic::AtomicBool::new(false)));
    let waker = Waker::from(task.clone());
    shared.0.park(&waker);
    let ringer = rings_twice(&shared);
    task.1.swap(false, AcqRel);
    shared.0.park(&waker);
    let asleep = shared.1.load(Relaxed) < 2;
    ringer.join().unwrap();
    assert!(!asleep || task.1.load(Relaxed), "a wake was lost");
    drop(waker);
    shared.0.forget();
    assert_eq!(Shared::strong_count(&task), 1, "the bell keeps a task in memory");
}

/// The registration at a bell passes from one task to another.
fn a_bell_has_one_task_after_the_other() {
    loom::model(|| {
        let shared = Arc::new((Doorbell::new(), AtomicUsize::new(0)));
        Waiters::register(&shared.0).unwrap();
        let before = beside(&shared, move |shared| {
            Waiters::park(&shared.0, &(), Waker::noop());
            Waiters::unregister(&shared.0, &());
        });
        let ringer = beside(&shared, move |shared| {
            shared.1.store(1, Relaxed);
            announce();
            Waiters::ring(&shared.0);
        });
        let woken = Woken::new();
        let mut sleeps = false;
        if Waiters::register(&shared.0).is_some() {
            Waiters::park(&shared.0, &(), &woken.waker());
            sleeps = shared.1.load(Relaxed) == 0;
        }
        before.join().unwrap();
        ringer.join().unwrap();
        assert!(!sleeps || woken.get(), "a wake was lost");
    });
}

/// A task parks without a registration, so only the bell itself synchronizes the use of the cell.
fn a_bell_forgets_one_waiter_and_takes_another() {
    check_both(|shared| {
        let leaves = beside(&shared, move |shared| {
            Waiters::park(&shared.0, &(), Waker::noop());
            Waiters::unregister(&shared.0, &());
        });
        let woken = Woken::new();
        shared.0.park(&woken.waker());
        leaves.join().unwrap();
    });
}

models! {
    one_ringer_wakes_the_waiter = no_wake_is_lost(At::Kept, 1, 1, true) {
        fails_without_the_ringers_fence: "doorbell.announce" => "a wake was lost",
        fails_without_the_waiters_fence: "doorbell.park" => "a wake was lost",
        // A ringer may read an incomplete waker.
        fails_with_a_relaxed_kept: "kept.kept" => "Causality violation",
        fails_with_a_relaxed_take: "kept.take" => "Causality violation",
    }
    one_ringer_wakes_a_waiter_that_parks_again = no_wake_is_lost(At::Kept, 1, 2, true) {}
    one_ringer_wakes_a_waiter_that_parks_with_another_waker =
        no_wake_is_lost(At::Kept, 1, 2, false) {
        // The waiter may replace a waker while a ringer is using it.
        fails_with_a_relaxed_woken: "kept.woken" => "Causality violation",
        fails_with_a_relaxed_keep: "kept.keep" => "Causality violation",
    }
    two_ringers_wake_the_waiter = no_wake_is_lost(At::Kept, 2, 1, true) {}
    /// One ringer rings while the waiter registers, so the waiter wakes itself, or that ringer is
    /// still waking while the waiter parks again; then the other one rings.
    two_ringers_wake_a_waiter_that_parks_again = no_wake_is_lost(At::Kept, 2, 2, true) {}
    two_ringers_wake_a_waiter_that_parks_with_another_waker =
        no_wake_is_lost(At::Kept, 2, 2, false) {}
    a_waiter_that_parks_inside_a_wake_is_woken {
        fails_with_a_relaxed_kept_of_the_spare_cell: "spare.kept" => "Causality violation",
        fails_with_a_relaxed_take_of_the_spare_cell: "spare.take" => "Causality violation",
        fails_with_a_relaxed_taken_of_the_spare_cell: "spare.taken" => "Causality violation",
        fails_with_a_relaxed_keep_of_the_spare_cell: "spare.keep" => "Causality violation",
    }
    a_ringer_drops_the_waker_of_a_forgotten_waiter {
        fails_with_a_relaxed_forget: "kept.forget" => "Causality violation",
        fails_with_a_relaxed_forget_of_the_spare_cell: "spare.forget" => "Causality violation",
    }
    a_task_returns_after_leaving_inside_its_wake [3] {
        fails_with_a_relaxed_load_of_the_kept_waker: "kept.look" => "a wake was lost",
        fails_with_a_relaxed_dropped: "kept.dropped",
    }
    a_bell_has_one_task_after_the_other {
        fails_with_a_relaxed_register_at_a_bell: "doorbell.register" => "a wake was lost",
        fails_with_a_relaxed_unregister_at_a_bell: "doorbell.unregister" => "a wake was lost",
    }
    a_bell_forgets_one_waiter_and_takes_another {
        fails_with_a_relaxed_forgotten: "kept.forgotten" => "Causality violation",
        fails_with_a_relaxed_forgotten_of_the_spare_cell: "spare.forgotten" => "Causality violation",
    }
}
