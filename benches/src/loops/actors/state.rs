//! The state behind the actors of all columns, and how they report to the caller.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;

use crate::sample::{Item, Tally};

/// What the actors of a round have handled. One task waits for it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Actors that have not handled the messages that are waited for.
    missing: AtomicUsize,
    /// Actors whose state lives.
    living: AtomicUsize,
    waker: AtomicWaker,
    /// The messages of all actors that have ended.
    found: Mutex<Tally>,
}

impl Report {
    /// Expects the next reports of this many actors.
    pub(crate) fn expect(&self, actors: usize) {
        self.missing.store(actors, Ordering::Relaxed);
    }

    /// An actor has handled what was expected.
    fn arrive(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waker.wake();
        }
    }

    /// Whether all expected actors have reported.
    pub(crate) fn complete(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }

    /// Waits until all expected actors have reported.
    pub(crate) async fn completed(&self) {
        self.zero(&self.missing).await;
    }

    /// Waits until the state of all actors is dropped.
    pub(crate) async fn gone(&self) {
        self.zero(&self.living).await;
    }

    async fn zero(&self, count: &AtomicUsize) {
        poll_fn(|context| {
            if count.load(Ordering::Acquire) != 0 {
                self.waker.register(context.waker());
                if count.load(Ordering::Acquire) != 0 {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The messages of all actors that have ended.
    pub(crate) fn found(&self) -> Tally {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the actors of a round are made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Messages that wait, where the library bounds them.
    pub(crate) capacity: usize,
    /// An actor reports each time it has handled this many.
    every: u64,
    report: Arc<Report>,
}

impl Plan {
    /// Actors that report each time they have handled this many messages.
    pub(crate) fn new(capacity: usize, every: usize, report: &Arc<Report>) -> Plan {
        Plan { capacity, every: every as u64, report: report.clone() }
    }

    pub(crate) fn counter(&self) -> Counting {
        Counting::new(self.every, self.report.clone())
    }
}

/// The state of an actor: it counts the numbers that it gets, which are their own positions.
#[derive(Debug)]
pub(crate) struct Counting {
    tally: Tally,
    every: u64,
    next: u64,
    report: Arc<Report>,
}

impl Counting {
    pub(super) fn new(every: u64, report: Arc<Report>) -> Counting {
        report.living.fetch_add(1, Ordering::Relaxed);
        Counting { tally: Tally::default(), every, next: every, report }
    }

    /// Handles a number, and returns it.
    #[inline]
    pub(crate) fn add(&mut self, number: u64) -> u64 {
        number.add(&mut self.tally);
        if self.tally.count == self.next {
            self.next += self.every;
            self.report.arrive();
        }
        number
    }

    /// Handles a message that is not its own position. `last` ends the wait for the report.
    #[inline]
    pub(super) fn count(&mut self, last: bool) {
        self.tally.count += 1;
        if last {
            self.report.arrive();
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut found = self.report.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.count += self.tally.count;
        found.sum |= self.tally.sum;
        drop(found);
        if self.report.living.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.report.waker.wake();
        }
    }
}
