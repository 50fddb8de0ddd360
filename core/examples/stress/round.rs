//! The shared state of the threads of a round: the ring, the counts, and the doorbells at which
//! they wait.

use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use mycelium_core::doorbell::{Doorbell, announce};

use crate::dice::Dice;
use crate::item::WRITERS;
use crate::kinds::Kind;

/// The ring, the seed and the round, for error messages.
pub(crate) static PLACE: Mutex<String> = Mutex::new(String::new());

pub(crate) fn place() -> String {
    PLACE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Reports a failure. The threads may be in any state, so the process ends here.
pub(crate) fn broken(what: &str) -> ! {
    eprintln!("error: {}: {what}", place());
    exit(1);
}

/// The payload of a panic on purpose, which is not printed.
pub(crate) struct Deliberate;

/// What a thread does when it finds nothing to do.
#[derive(Clone, Copy)]
pub(crate) enum Idle {
    Spins,
    Yields,
    Naps,
}

impl Idle {
    pub(crate) fn of(dice: &mut Dice) -> Idle {
        [Idle::Spins, Idle::Yields, Idle::Yields, Idle::Naps][dice.below(4)]
    }

    pub(crate) fn wait(self) {
        match self {
            // There may be more threads than processors.
            Idle::Spins => {
                (0..50).for_each(|_| std::hint::spin_loop());
                thread::yield_now();
            }
            Idle::Yields => thread::yield_now(),
            Idle::Naps => thread::sleep(Duration::from_micros(20)),
        }
    }
}

/// How often each thing happened.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) rounds: u64,
    pub(crate) items: u64,
    pub(crate) retaken: u64,
    pub(crate) panics: u64,
    pub(crate) aborted: u64,
    pub(crate) sleeps: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Counts) {
        self.rounds += other.rounds;
        self.items += other.items;
        self.retaken += other.retaken;
        self.panics += other.panics;
        self.aborted += other.aborted;
        self.sleeps += other.sleeps;
    }

    /// Whether one of them never happened.
    pub(crate) fn lacks_something(&self) -> bool {
        [self.items, self.retaken, self.panics, self.aborted, self.sleeps].contains(&0)
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counts { rounds, items, retaken, panics, aborted, sleeps } = self;
        write!(
            f,
            "{rounds} rounds, {items} items, {retaken} ends taken again, {panics} panics, \
             {aborted} grants dropped, {sleeps} sleeps"
        )
    }
}

/// The shared state of a round.
pub(crate) struct Round<K: Kind> {
    pub(crate) ring: K::Ring<crate::item::Item>,
    pub(crate) capacity: usize,
    /// Whether threads sleep at a doorbell when they find nothing to do.
    pub(crate) asleep: bool,
    /// One of the sides is being closed: a writer that gets no end must not wait for one.
    pub(crate) closing: AtomicBool,
    /// The readers' side was closed.
    pub(crate) abandoned: AtomicBool,
    /// A reader has seen the end.
    pub(crate) drained: AtomicBool,
    /// The bells of writers, then of readers.
    pub(crate) bells: [Vec<Bell>; 2],
    /// The number of the next item of each writer, if there is one reader at a time.
    pub(crate) expected: Mutex<[u64; WRITERS]>,
    /// Readers that panicked while they had items.
    pub(crate) forsaken: AtomicU64,
    pub(crate) counts: Mutex<Counts>,
}

/// The side of a thread.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Writers,
    Readers,
}

#[derive(Default)]
pub(crate) struct Bell {
    bell: Doorbell,
    woken: Mutex<Option<Arc<Woken>>>,
}

impl<K: Kind> Round<K> {
    /// Wakes all threads of a side.
    pub(crate) fn notify(&self, side: Side) {
        if self.asleep {
            announce();
            for bell in &self.bells[side as usize] {
                bell.bell.ring();
            }
        }
    }

    /// Sleeps until the bell rings, unless `check` finds something.
    pub(crate) fn sleep<R>(
        &self,
        side: Side,
        index: usize,
        check: impl FnOnce() -> Option<R>,
    ) -> Option<R> {
        let bell = &self.bells[side as usize][index];
        let mut woken = bell.woken.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = woken.get_or_insert_with(|| {
            Arc::new(Woken { thread: thread::current(), woken: AtomicBool::new(false) })
        });
        bell.bell.park(&Waker::from(woken.clone()));
        let found = check();
        if found.is_some() {
            bell.bell.unpark();
        } else {
            while !woken.woken.swap(false, SeqCst) {
                thread::park();
            }
        }
        found
    }
}

struct Woken {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, SeqCst);
        self.thread.unpark();
    }
}
