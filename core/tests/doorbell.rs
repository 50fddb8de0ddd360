//! Wakers that do more than wake.
#![allow(unsafe_code)]
// What the test counts by, and not the crate.
#![allow(clippy::disallowed_types)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};

use mycelium_core::doorbell::{Doorbell, announce};

/// Runs its task here and now; the task finds nothing and parks again.
struct Inline {
    bell: Doorbell,
    runs: AtomicUsize,
}

impl Wake for Inline {
    fn wake(self: Arc<Inline>) {
        let runs = self.runs.fetch_add(1, Ordering::Relaxed);
        assert_eq!(runs, 0, "it woke itself");
        self.bell.park(&Waker::from(self.clone()));
    }
}

#[test]
fn a_task_that_is_run_by_its_waker_may_park_again() {
    let task = Arc::new(Inline { bell: Doorbell::new(), runs: AtomicUsize::new(0) });
    task.bell.park(&Waker::from(task.clone()));
    announce();
    task.bell.ring();
    assert_eq!(task.runs.load(Ordering::Relaxed), 1);
    assert!(task.bell.is_parked(), "it sleeps, and may be rung again");
    // The bell holds a waker of the task, and the task holds the bell.
    task.bell.park(Waker::noop());
}

/// How often a waker was cloned whose first clone panics.
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
fn a_waker_that_cannot_be_kept_leaves_the_bell_usable() {
    // SAFETY: its functions use no data.
    let waker = unsafe { Waker::new(std::ptr::null(), &CLUMSY) };
    let bell = Doorbell::new();
    let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bell.park(&waker)));
    assert!(kept.is_err() && !bell.is_parked());
    bell.park(&waker);
    assert!(bell.is_parked(), "nobody can ring this task any more");
}
