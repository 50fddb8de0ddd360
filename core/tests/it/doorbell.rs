//! The doorbell and lists of waiters, with wakers that run code, panic, or are counted.
#![allow(unsafe_code)]
// The counters of the test are not shared memory of the crate.
#![allow(clippy::disallowed_types)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};

use mycelium_core::doorbell::{Doorbell, GrowingWaiterList, WaiterList, Waiters, announce};

/// Counts the clones of a waker whose first clone panics.
static CLONES: AtomicUsize = AtomicUsize::new(0);
static CLUMSY: RawWakerVTable = RawWakerVTable::new(
    |data| {
        assert_ne!(CLONES.fetch_add(1, Ordering::Relaxed), 0, "clumsy");
        RawWaker::new(data, &CLUMSY)
    },
    |_| {},
    |_| {},
    |_| {},
);

#[test]
fn a_waker_whose_clone_panics_leaves_the_bell_usable() {
    // SAFETY: its functions use no data.
    let waker = unsafe { Waker::new(std::ptr::null(), &CLUMSY) };
    let bell = Doorbell::new();
    let kept = catch_unwind(AssertUnwindSafe(|| bell.park(&waker)));
    assert!(kept.is_err() && !bell.is_parked());
    bell.park(&waker);
    assert!(bell.is_parked(), "nobody can ring this task any more");
}

/// Counts its wakes, and calls a function each time.
pub(crate) struct Does {
    #[allow(clippy::type_complexity)]
    work: Box<dyn Fn(&Arc<Does>) + Send + Sync>,
    times: AtomicUsize,
}

impl Does {
    pub(crate) fn times(&self) -> usize {
        self.times.load(Ordering::Relaxed)
    }
}

impl Wake for Does {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.times.fetch_add(1, Ordering::Relaxed);
        (self.work)(self);
    }
}

pub(crate) fn does(work: impl Fn(&Arc<Does>) + Send + Sync + 'static) -> Arc<Does> {
    Arc::new(Does { work: Box::new(work), times: AtomicUsize::new(0) })
}

fn ring(bell: &Doorbell) {
    announce();
    bell.ring();
}

#[test]
fn parking_again_with_the_same_waker_clones_nothing() {
    let (bell, task) = (Doorbell::new(), does(|_| {}));
    let waker = Waker::from(task.clone());
    for times in 1..4 {
        bell.park(&waker);
        assert_eq!(Arc::strong_count(&task), 3, "one waker is in the bell");
        ring(&bell);
        assert_eq!((Arc::strong_count(&task), task.times()), (3, times));
    }
    bell.forget();
    assert_eq!(Arc::strong_count(&task), 2, "the bell keeps a task in memory");
    bell.park(&waker);
    ring(&bell);
    assert_eq!(task.times(), 4, "a bell that forgot a waker takes it again");
}

/// Each wake runs the task in place, which parks again: with the same waker, or a new one each
/// time. The task is also rung while it runs inside the wake.
#[test]
fn a_task_polled_inside_its_wake_parks_and_is_rung() {
    for same in [false, true] {
        let (bell, rounds) = (Arc::new(Doorbell::new()), Arc::new(AtomicUsize::new(0)));
        let inner: Arc<Mutex<Option<Waker>>> = Arc::default();
        let task = {
            let (bell, rounds, inner) = (bell.clone(), rounds.clone(), inner.clone());
            does(move |task| {
                let waker = if same {
                    Waker::from(task.clone())
                } else {
                    let rounds = rounds.clone();
                    Waker::from(does(move |_| _ = rounds.fetch_add(1, Ordering::Relaxed)))
                };
                // It sleeps three times, the last time for ever.
                if rounds.fetch_add(1, Ordering::Relaxed) == 0 {
                    bell.park(&waker);
                    announce();
                    bell.ring();
                }
                bell.park(&waker);
                *inner.lock().unwrap() = Some(waker);
            })
        };
        bell.park(&Waker::from(task.clone()));
        ring(&bell);
        assert_eq!(rounds.load(Ordering::Relaxed), 2, "a wake was lost");
        assert!(bell.is_parked(), "it sleeps, and may be rung again");
        ring(&bell);
        assert_eq!(rounds.load(Ordering::Relaxed), 3, "a wake was lost");
        bell.forget();
        inner.lock().unwrap().take();
        assert_eq!(Arc::strong_count(&task), 1, "the bell keeps a task in memory");
    }
}

/// The task ends inside its wake, and unregisters there.
#[test]
fn a_task_that_ends_inside_its_wake_is_not_kept() {
    fn check(bells: impl Waiters + Send + Sync + 'static, unparks: bool) {
        let (bells, left) = (Arc::new(bells), Arc::new(Mutex::new(None)));
        let key = bells.register().unwrap();
        let task = {
            let (bells, left) = (bells.clone(), left.clone());
            does(move |_| {
                let key = left.lock().unwrap().take().unwrap();
                if unparks {
                    bells.unpark(&key);
                }
                bells.unregister(&key);
            })
        };
        bells.park(&key, &Waker::from(task.clone()));
        *left.lock().unwrap() = Some(key);
        announce();
        bells.ring();
        assert_eq!(Arc::strong_count(&task), 1, "the bell keeps a task in memory");
        assert!(bells.register().is_some());
    }

    check(Doorbell::new(), false);
    check(WaiterList::<1>::new(), true);
}

#[test]
fn a_waker_that_panics_leaves_the_bell_usable() {
    let (bell, task) = (Doorbell::new(), does(|task| assert_ne!(task.times(), 1)));
    let waker = Waker::from(task.clone());
    bell.park(&waker);
    assert!(catch_unwind(AssertUnwindSafe(|| ring(&bell))).is_err());
    bell.park(&waker);
    ring(&bell);
    assert_eq!(task.times(), 2, "nobody can ring this task any more");
    bell.forget();
    drop(waker);
    assert_eq!(Arc::strong_count(&task), 1);
}

/// A waker whose drop panics: when it is replaced, when the bell forgets it, and when its ringer
/// drops it.
#[test]
fn a_waker_whose_drop_panics_leaves_the_bell_usable() {
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }

    let bell = Arc::new(Doorbell::new());
    for drops in [
        |bell: &Doorbell| bell.park(Waker::noop()),
        |bell: &Doorbell| bell.forget(),
        |bell: &Doorbell| ring(bell),
    ] {
        let (bomb, own) = (Bomb, bell.clone());
        let armed = does(move |_| {
            let _bomb = &bomb;
            own.forget();
        });
        bell.park(&Waker::from(armed));
        assert!(catch_unwind(AssertUnwindSafe(|| drops(&bell))).is_err());
        let task = does(|_| {});
        bell.park(&Waker::from(task.clone()));
        ring(&bell);
        assert_eq!(task.times(), 1, "nobody can ring this task any more");
        bell.forget();
    }
}

/// One of many tasks that are rung, over several blocks, has a waker that panics.
#[test]
fn all_others_are_rung_if_a_waker_panics() {
    fn check(bells: &impl Waiters, count: usize) {
        for panicking in 0..count {
            let tasks: Vec<_> = (0..count)
                .map(|task| {
                    let counts = does(move |_| assert_ne!(task, panicking, "a waker panics"));
                    let key = bells.register().unwrap();
                    bells.park(&key, &Waker::from(counts.clone()));
                    (counts, key)
                })
                .collect();
            let rung = catch_unwind(AssertUnwindSafe(|| bells.ring_all()));
            assert!(rung.is_err(), "the panic is propagated");
            for (counts, key) in &tasks {
                assert_eq!(counts.times(), 1, "one was not woken");
                bells.unpark(key);
                bells.unregister(key);
            }
        }
    }

    check(&WaiterList::<4>::new(), 4);
    // More than the first block and one more have.
    check(&GrowingWaiterList::growing(), if cfg!(miri) { 17 } else { 85 });
}

/// A ring that finds one sleeping task moves the turn as any other ring does, unless a task
/// starves.
#[test]
fn a_ring_of_the_only_sleeper_keeps_the_order() {
    let list = WaiterList::<3>::new();
    let [first, second, third] = [(); 3].map(|()| (does(|_| {}), list.register().unwrap()));
    let park = |(task, key): &(Arc<Does>, _)| list.park(key, &Waker::from(task.clone()));
    let rings = |times: [usize; 3]| {
        list.announce_and_ring();
        assert_eq!([&first, &second, &third].map(|(task, _)| task.times()), times);
    };
    park(&first);
    rings([1, 0, 0]);
    park(&first);
    park(&second);
    rings([1, 1, 0]);
    rings([2, 1, 0]);

    list.starve(&first.1);
    park(&third);
    rings([2, 1, 1]);
    list.relieve(&first.1);
    park(&first);
    park(&third);
    rings([2, 1, 2]);
}
