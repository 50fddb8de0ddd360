//! The doorbell under loom: no wake is lost, whoever comes first, with one ringer and with two.
#![cfg(loom)]

use std::future::poll_fn;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc as Shared, Mutex};
use std::task::{Poll, Wake, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use loom::thread;
use mycelium_core::doorbell::{Bells, Doorbell, Growing, Row, announce};
use mycelium_core::sync::weaken;
use mycelium_loom_tests::bounded;
use mycelium_loom_tests::task::{Task, finish};

/// Remembers that it was woken. Not part of the model: it is read after all threads have ended.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Shared<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// What a model of one bell is about: the bell, and how many things were published.
type One = (Doorbell, AtomicUsize);

/// The place of the bell at which the task of a model parks.
#[derive(Clone, Copy)]
enum At {
    /// Where the waker is kept.
    Kept,
    /// Where a task parks while a ringer wakes by the kept waker: the model runs inside of that wake.
    Spare,
}

/// Does something when it is woken by reference, once.
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

/// Checks a model of one bell.
fn check(at: At, preemptions: usize, model: impl Fn(Arc<One>) + Clone + Sync + Send + 'static) {
    bounded(preemptions, move || {
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

/// `ringers` threads publish one thing each and ring. A waiter that finds less than everything, at its second look
/// after each of `parks` parkings, goes to sleep. Then a ringer must wake it. Each parking is with a waker of its own, or
/// all are with the `same`.
fn nobody_oversleeps(at: At, ringers: usize, parks: usize, same: bool) {
    check(at, 3, move |shared| {
        let threads: Vec<_> = (0..ringers)
            .map(|ringer| {
                let shared = shared.clone();
                thread::spawn(move || {
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
        let mut woken = Shared::new(Woken(AtomicBool::new(false)));
        let mut asleep = shared.1.load(Relaxed) < ringers;
        for _ in 0..parks {
            if asleep {
                if same {
                    woken.0.store(false, Relaxed);
                } else {
                    woken = Shared::new(Woken(AtomicBool::new(false)));
                }
                shared.0.park(&Waker::from(woken.clone()));
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
    nobody_oversleeps(At::Kept, 1, 1, true);
}

#[test]
fn one_ringer_wakes_a_waiter_that_parks_again() {
    nobody_oversleeps(At::Kept, 1, 2, true);
}

#[test]
fn one_ringer_wakes_a_waiter_that_parks_with_another_waker() {
    nobody_oversleeps(At::Kept, 1, 2, false);
}

#[test]
fn two_ringers_wake_the_waiter() {
    nobody_oversleeps(At::Kept, 2, 1, true);
}

/// One rings while the waiter registers and leaves the waking to it, or is still waking while it parks again; then the
/// other rings.
#[test]
fn two_ringers_wake_a_waiter_that_parks_again() {
    nobody_oversleeps(At::Kept, 2, 2, true);
}

#[test]
fn two_ringers_wake_a_waiter_that_parks_with_another_waker() {
    nobody_oversleeps(At::Kept, 2, 2, false);
}

#[test]
fn a_waiter_is_woken_that_parks_inside_of_a_wake() {
    nobody_oversleeps(At::Spare, 1, 1, true);
    nobody_oversleeps(At::Spare, 1, 2, false);
    nobody_oversleeps(At::Spare, 2, 2, true);
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_without_the_ringers_fence() {
    weaken("doorbell.announce");
    nobody_oversleeps(At::Kept, 1, 1, true);
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_without_the_waiters_fence() {
    weaken("doorbell.park");
    nobody_oversleeps(At::Kept, 1, 1, true);
}

/// A ringer may read a waker that is half written.
#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_kept() {
    weaken("kept.kept");
    nobody_oversleeps(At::Kept, 1, 1, true);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_take() {
    weaken("kept.take");
    nobody_oversleeps(At::Kept, 1, 1, true);
}

/// The waiter may replace a waker that a ringer is waking by.
#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_woken() {
    weaken("kept.woken");
    nobody_oversleeps(At::Kept, 1, 2, false);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_keep() {
    weaken("kept.keep");
    nobody_oversleeps(At::Kept, 1, 2, false);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_kept_of_the_spare_place() {
    weaken("spare.kept");
    nobody_oversleeps(At::Spare, 1, 1, true);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_take_of_the_spare_place() {
    weaken("spare.take");
    nobody_oversleeps(At::Spare, 1, 1, true);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_taken_of_the_spare_place() {
    weaken("spare.taken");
    nobody_oversleeps(At::Spare, 1, 2, true);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_keep_of_the_spare_place() {
    weaken("spare.keep");
    nobody_oversleeps(At::Spare, 1, 2, true);
}

/// A task is forgotten while a ringer may be waking it, and parks again with the same waker; the ringer makes a second
/// thing. The bell must not take the waker for one that it still has.
fn a_waker_is_forgotten_while_it_wakes(at: At) {
    check(at, 3, |shared| {
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        shared.0.park(&waker);
        let ringer = {
            let shared = shared.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    shared.1.fetch_add(1, Relaxed);
                    announce();
                    shared.0.ring();
                }
            })
        };
        shared.0.forget();
        woken.0.store(false, Relaxed);
        shared.0.park(&waker);
        let asleep = shared.1.load(Relaxed) < 2;
        ringer.join().unwrap();
        assert!(woken.0.load(Relaxed) || !asleep, "a wake was lost");
        drop(waker);
        shared.0.forget();
        assert_eq!(Shared::strong_count(&woken), 1, "the bell keeps a task in memory");
    });
}

#[test]
fn a_ringer_drops_the_waker_of_a_waiter_that_has_left() {
    a_waker_is_forgotten_while_it_wakes(At::Kept);
    a_waker_is_forgotten_while_it_wakes(At::Spare);
}

/// A task that is polled in place leaves, and its ringer drops the waker; the task comes back with the same waker.
fn a_task_leaves_inside_of_its_wake() {
    // The flag is a part of the model, as in an executor: a poll sees what the wake that it follows came after.
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

    bounded(3, || {
        let shared = Arc::new((Doorbell::new(), AtomicUsize::new(0)));
        let task = Shared::new(Leaves(shared.clone(), loom::sync::atomic::AtomicBool::new(false)));
        let waker = Waker::from(task.clone());
        shared.0.park(&waker);
        let ringer = {
            let shared = shared.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    shared.1.fetch_add(1, Relaxed);
                    announce();
                    shared.0.ring();
                }
            })
        };
        task.1.swap(false, AcqRel);
        shared.0.park(&waker);
        let asleep = shared.1.load(Relaxed) < 2;
        ringer.join().unwrap();
        assert!(!asleep || task.1.load(Relaxed), "a wake was lost");
        drop(waker);
        shared.0.forget();
        assert_eq!(Shared::strong_count(&task), 1, "the bell keeps a task in memory");
    });
}

#[test]
fn a_task_comes_back_that_left_inside_of_its_wake() {
    a_task_leaves_inside_of_its_wake();
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_with_a_relaxed_look_at_the_kept_waker() {
    weaken("kept.look");
    a_task_leaves_inside_of_its_wake();
}

#[test]
#[should_panic]
fn fails_with_a_relaxed_dropped() {
    weaken("kept.dropped");
    a_task_leaves_inside_of_its_wake();
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_forget() {
    weaken("kept.forget");
    a_waker_is_forgotten_while_it_wakes(At::Kept);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_forget_of_the_spare_place() {
    weaken("spare.forget");
    a_waker_is_forgotten_while_it_wakes(At::Spare);
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

#[test]
#[should_panic = "a wake was lost"]
fn fails_with_a_relaxed_wake() {
    weaken("row.wake");
    nobody_in_a_row_oversleeps(false);
}

/// A ringer may see the bit of a waiter, and take it back, and not yet see that its bell is to be rung.
#[test]
#[should_panic = "a wake was lost"]
fn fails_with_a_relaxed_parked() {
    weaken("row.parked");
    nobody_in_a_row_oversleeps(false);
}

/// Two things, the first of which is there when the first task parks, whose second look finds it. The second thing is
/// rung for at that task though the other one sleeps: who took the first must see that there is a second.
fn who_was_rung_in_vain_passes_it_on() {
    /// The orderings of `mpmc`: a claim of writers, one of readers, and a stamp for each thing.
    struct Things {
        row: Row<2>,
        tail: AtomicUsize,
        head: AtomicUsize,
        stamps: [AtomicUsize; 2],
    }

    impl Things {
        fn take(&self) -> bool {
            let head = self.head.load(Relaxed);
            let taken = head < 2 && self.stamps[head].load(Acquire) != 0;
            if taken {
                // One task takes.
                self.head.store(head + 1, Relaxed);
            }
            taken
        }

        fn is_empty(&self) -> bool {
            self.head.load(Relaxed) >= self.tail.load(Relaxed)
        }
    }

    loom::model(|| {
        let things = Arc::new(Things {
            row: Row::new(),
            tail: AtomicUsize::new(1),
            head: AtomicUsize::new(0),
            stamps: [AtomicUsize::new(1), AtomicUsize::new(0)],
        });
        let (one, other) = (things.row.take_seat().unwrap(), things.row.take_seat().unwrap());
        let ringer = {
            let things = things.clone();
            thread::spawn(move || {
                things.tail.fetch_add(1, Relaxed);
                things.stamps[1].store(1, Release);
                announce();
                things.row.ring();
            })
        };
        things.row.park(&one, Waker::noop());
        assert!(things.take());
        // The other task, on this thread too: more is ordered than need be.
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        things.row.park(&other, &Waker::from(woken.clone()));
        let sleeps = !things.take();
        things.row.unpark(&one);
        if !things.is_empty() {
            things.row.ring();
        }
        ringer.join().unwrap();
        assert!(!sleeps || woken.0.load(Relaxed), "a wake was lost");
    });
}

#[test]
fn a_wake_that_came_in_vain_is_passed_on() {
    who_was_rung_in_vain_passes_it_on();
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_with_a_relaxed_unpark() {
    weaken("row.unpark");
    who_was_rung_in_vain_passes_it_on();
}

/// The one seat of a bell goes from one task to another.
fn a_seat_is_handed_on() {
    loom::model(|| {
        let shared = Arc::new((Doorbell::new(), AtomicUsize::new(0)));
        Bells::take_seat(&shared.0).unwrap();
        let before = {
            let shared = shared.clone();
            thread::spawn(move || {
                Bells::park(&shared.0, &(), Waker::noop());
                Bells::leave_seat(&shared.0, &());
            })
        };
        let ringer = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.1.store(1, Relaxed);
                announce();
                Bells::ring(&shared.0);
            })
        };
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        let mut sleeps = false;
        if Bells::take_seat(&shared.0).is_some() {
            Bells::park(&shared.0, &(), &Waker::from(woken.clone()));
            sleeps = shared.1.load(Relaxed) == 0;
        }
        before.join().unwrap();
        ringer.join().unwrap();
        assert!(!sleeps || woken.0.load(Relaxed), "a wake was lost");
    });
}

#[test]
fn a_bell_has_one_owner_after_the_other() {
    a_seat_is_handed_on();
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_with_a_relaxed_seat_at_a_bell() {
    weaken("doorbell.take-seat");
    a_seat_is_handed_on();
}

#[test]
#[should_panic = "a wake was lost"]
fn fails_with_a_relaxed_leave_of_a_bell() {
    weaken("doorbell.leave-seat");
    a_seat_is_handed_on();
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

/// A bell that takes a task without a seat, too: nothing but the bell itself hands the cell on.
fn a_bell_is_forgotten_while_another_parks(at: At) {
    check(at, 3, |shared| {
        let leaves = {
            let shared = shared.clone();
            thread::spawn(move || {
                Bells::park(&shared.0, &(), Waker::noop());
                Bells::leave_seat(&shared.0, &());
            })
        };
        let woken = Shared::new(Woken(AtomicBool::new(false)));
        shared.0.park(&Waker::from(woken));
        leaves.join().unwrap();
    });
}

#[test]
fn a_bell_forgets_one_waiter_and_takes_another() {
    a_bell_is_forgotten_while_another_parks(At::Kept);
    a_bell_is_forgotten_while_another_parks(At::Spare);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_forgotten() {
    weaken("kept.forgotten");
    a_bell_is_forgotten_while_another_parks(At::Kept);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_with_a_relaxed_forgotten_of_the_spare_place() {
    weaken("spare.forgotten");
    a_bell_is_forgotten_while_another_parks(At::Spare);
}
