//! Lists of waiters under loom: no wake is lost between several waiters of the same thing.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use loom::thread;
use mycelium_core::doorbell::{GrowingWaiterList, RareWaiterList, WaiterList, Waiters, announce};
use mycelium_loom_tests::task::{Task, finish};
use mycelium_loom_tests::{Woken, beside, models};

/// A list of waiters. Each execution has a new one.
trait List: Waiters<Key: Sync + 'static> + Default + Send + Sync + 'static {}

impl<L: Waiters<Key: Sync + 'static> + Default + Send + Sync + 'static> List for L {}

/// Two tasks wait for one thing each in one list, and a ringer publishes two things, one after the
/// other. If the first task `cancels` its wait, there is one thing, for the other task.
fn no_wake_is_lost<L: List>(cancels: bool, ring: fn(&L)) {
    let shared = Arc::new((L::default(), AtomicUsize::new(0)));
    let things = if cancels { 1 } else { 2 };
    let ringer = beside(&shared, move |shared| {
        for _ in 0..things {
            shared.1.fetch_add(1, Relaxed);
            ring(&shared.0);
        }
    });
    let other = Task::new(take(shared.clone()));
    let other = thread::spawn(move || other.run(2));
    let mut tasks = Vec::new();
    if cancels {
        let key = shared.0.register().unwrap();
        shared.0.park(&key, Waker::noop());
        if shared.0.unpark(&key) {
            shared.0.ring();
        }
        shared.0.unregister(&key);
    } else {
        tasks.push(Task::new(take(shared)).run(2));
    }
    tasks.push(other.join().unwrap());
    ringer.join().unwrap();
    assert_eq!(finish(tasks).len(), things);
}

fn announced<L: List>(list: &L) {
    announce();
    list.ring();
}

/// Takes one thing as soon as it is published.
async fn take<L: List>(shared: Arc<(L, AtomicUsize)>) {
    let (list, things) = &*shared;
    let key = list.register().unwrap();
    let check = || things.fetch_update(Relaxed, Relaxed, |things| things.checked_sub(1)).is_ok();
    poll_fn(|context| {
        if check() {
            return Poll::Ready(());
        }
        list.park(&key, context.waker());
        if check() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    list.unpark(&key);
    if things.load(Relaxed) > 0 {
        list.ring();
    }
    list.unregister(&key);
}

/// Two things are published. The first one is published when the first task parks, and its second
/// check finds it. The ring for the second thing goes to that task although the other one sleeps,
/// so the first task must see the second thing.
fn an_unneeded_wake_is_passed_on() {
    /// The words of `mpmc`: a tail, a head, and a stamp for each thing.
    struct Things {
        list: WaiterList<2>,
        tail: AtomicUsize,
        head: AtomicUsize,
        stamps: [AtomicUsize; 2],
    }

    impl Things {
        fn take(&self) -> bool {
            let head = self.head.load(Relaxed);
            let taken = head < 2 && self.stamps[head].load(Acquire) != 0;
            if taken {
                // Needs no compare-and-swap, because only one thread takes.
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
            list: WaiterList::new(),
            tail: AtomicUsize::new(1),
            head: AtomicUsize::new(0),
            stamps: [AtomicUsize::new(1), AtomicUsize::new(0)],
        });
        let (one, other) = (things.list.register().unwrap(), things.list.register().unwrap());
        let ringer = beside(&things, move |things| {
            things.tail.fetch_add(1, Relaxed);
            things.stamps[1].store(1, Release);
            announce();
            things.list.ring();
        });
        things.list.park(&one, Waker::noop());
        assert!(things.take());
        // The other task runs on this thread too, which orders more than necessary.
        let woken = Woken::new();
        things.list.park(&other, &woken.waker());
        let sleeps = !things.take();
        things.list.unpark(&one);
        if !things.is_empty() {
            things.list.ring();
        }
        ringer.join().unwrap();
        assert!(!sleeps || woken.get(), "a wake was lost");
    });
}

/// Two threads need a second block at the same time, and a third one rings both of them.
fn two_threads_add_a_block() {
    let shared = Arc::new((GrowingWaiterList::growing(), AtomicUsize::new(0)));
    let first = shared.0.register().unwrap();
    let waits = |shared: Arc<(GrowingWaiterList, AtomicUsize)>| {
        Task::new(async move {
            let key = shared.0.register().unwrap();
            poll_fn(|context| {
                shared.0.park(&key, context.waker());
                if shared.1.load(Relaxed) == 0 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            shared.0.unpark(&key);
            shared.0.unregister(&key);
        })
    };
    let [one, other] = [waits(shared.clone()), waits(shared.clone())];
    let thread = thread::spawn(move || one.run(2));
    let ringer = beside(&shared, move |shared| {
        shared.1.store(1, Relaxed);
        announce();
        shared.0.ring_all();
    });
    let other = other.run(2);
    ringer.join().unwrap();
    assert_eq!(finish(vec![thread.join().unwrap(), other]).len(), 2);
    shared.0.unregister(&first);
}

/// A waiter that gives up and waits again keeps its place: the second wait is as good as the first.
fn a_waiter_of_a_rare_list_keeps_its_place() {
    let shared = Arc::new((RareWaiterList::new(), AtomicUsize::new(0)));
    let ringer = beside(&shared, move |shared| {
        shared.1.store(1, Relaxed);
        announced(&shared.0);
    });
    let (list, published) = &*shared;
    let (key, woken) = (list.register().unwrap(), Woken::new());
    list.park(&key, Waker::noop());
    let mut found = published.load(Relaxed) != 0;
    if !found {
        let rung = list.unpark(&key);
        list.park(&key, &woken.waker());
        found = published.load(Relaxed) != 0;
        assert!(found || !rung, "a wake was lost");
    }
    ringer.join().unwrap();
    assert!(found || woken.get(), "a wake was lost");
    list.unpark(&key);
    list.unregister(&key);
}

models! {
    two_waiters_of_a_list_are_woken [2] = no_wake_is_lost(false, announced::<WaiterList<2>>) {
        fails_without_the_fence_of_a_list: "waiter-list.park" => "a wake was lost",
        fails_with_a_relaxed_wake: "waiter-list.wake" => "a wake was lost",
        // A ringer may see the bit of a waiter, take it back, and not yet see that its bell is
        // parked.
        fails_with_a_relaxed_parked: "waiter-list.parked" => "a wake was lost",
        fails_with_a_relaxed_register: "waiter-list.register" => "a wake was lost",
        fails_with_a_relaxed_unregister: "waiter-list.unregister" => "a wake was lost",
    }
    a_cancelled_waiter_passes_its_wake_on [2] = no_wake_is_lost(true, announced::<WaiterList<2>>) {}
    /// A ringer that wakes a task raises no fence.
    two_waiters_are_woken_by_a_ringer_without_a_fence [2] =
        no_wake_is_lost(false, WaiterList::<2>::announce_and_ring) {
        fails_with_a_relaxed_wake_and_no_fence: "waiter-list.wake" => "a wake was lost",
        fails_without_the_fence_if_nobody_was_woken: "doorbell.announce" => "a wake was lost",
    }
    a_cancelled_waiter_passes_on_a_wake_without_a_fence [2] =
        no_wake_is_lost(true, WaiterList::<2>::announce_and_ring) {}
    an_unneeded_wake_is_passed_on {
        fails_with_a_relaxed_unpark: "waiter-list.unpark" => "a wake was lost",
    }
    two_threads_add_a_block [2] {
        fails_with_a_relaxed_load_of_a_block: "on-heap.next" => "Causality violation",
        fails_with_a_relaxed_new_block: "on-heap.add" => "Causality violation",
        fails_with_a_relaxed_second_block: "on-heap.added" => "Causality violation",
    }
    /// Two tasks wait in an empty list at the same time, and the first of them allocates the list.
    /// A ringer that does not see the list yet has announced before its waiter's fence.
    the_first_waiters_of_a_rare_list_are_woken [2] =
        no_wake_is_lost(false, announced::<RareWaiterList>) {
        fails_in_a_rare_list_without_the_fence_of_a_list: "waiter-list.park" => "a wake was lost",
        fails_without_the_ringers_fence: "doorbell.announce" => "a wake was lost",
        fails_with_a_relaxed_wake: "waiter-list.wake" => "a wake was lost",
        fails_in_a_rare_list_with_a_relaxed_load_of_the_list: "on-heap.next" => "Causality violation",
        fails_in_a_rare_list_with_a_relaxed_new_list: "on-heap.add" => "Causality violation",
        fails_in_a_rare_list_with_a_relaxed_second_list: "on-heap.added" => "Causality violation",
    }
    a_cancelled_first_waiter_of_a_rare_list_passes_its_wake_on [2] =
        no_wake_is_lost(true, announced::<RareWaiterList>) {}
    a_waiter_of_a_rare_list_keeps_its_place [3] {
        fails_with_a_place_and_without_the_fence_of_a_list: "waiter-list.park" => "a wake was lost",
    }
}
