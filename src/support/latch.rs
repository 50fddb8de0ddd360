//! Events that tasks wait for: a latch, such as the shutdown, and a countdown, such as the number
//! of running services.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use event_listener::Event;

/// A flag that is set once and never reset.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    set: AtomicBool,
    event: Event,
}

impl Latch {
    /// Sets the latch. Returns false if it was already set.
    pub(crate) fn set(&self) -> bool {
        let first = !self.set.swap(true, Ordering::SeqCst);
        self.event.notify(usize::MAX);
        first
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    pub(crate) async fn wait(&self) {
        until(&self.event, || self.is_set()).await;
    }
}

/// Counts down to zero.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: AtomicUsize,
    event: Event,
}

impl Countdown {
    pub(crate) fn new(count: usize) -> Countdown {
        Countdown { left: AtomicUsize::new(count), event: Event::new() }
    }

    pub(crate) fn count_down(&self) {
        self.left.fetch_sub(1, Ordering::SeqCst);
        self.event.notify(usize::MAX);
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    pub(crate) async fn wait(&self) {
        self.wait_below(1).await;
    }

    /// Waits until fewer than `count` are left.
    pub(crate) async fn wait_below(&self, count: usize) {
        until(&self.event, || self.left() < count).await;
    }
}

/// Waits until a condition holds. Whoever changes it must notify `event`. Checks, listens, and
/// checks again, so that no change is missed.
pub(crate) async fn until(event: &Event, holds: impl Fn() -> bool) {
    while !holds() {
        let changed = event.listen();
        if holds() {
            return;
        }
        changed.await;
    }
}
