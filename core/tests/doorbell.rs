//! Wakers that do more than wake.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

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
