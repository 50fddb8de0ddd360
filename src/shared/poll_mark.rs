//! The words in memory through which the watchdog observes polls, and how a poll wakes the
//! watchdog.
//!
//! A poll does not read the clock. Each service has a word that is incremented when a poll begins
//! and when it ends. An odd word means *in a poll*; the same odd value at two checks means that one
//! poll has lasted since the first check. While any word is odd, the watchdog checks all words
//! periodically. While none is odd, it parks without a timeout, so an idle node has no wake-ups.
//! The next poll must wake it, and that wake must not be lost:
//!
//! | poll | watchdog |
//! | --- | --- |
//! | make the word odd | set `asleep`, and wait for [`SETTLE`] |
//! | if `asleep` is set, wake the watchdog | if a word is odd, stay awake |
//!
//! A poll that finds `asleep` unset has stored its word, and that store arrives after microseconds
//! at most, because a processor's store buffer is short. The watchdog waits longer before it loads
//! the words, so it sees that poll. A fence in each poll would do the same, and costs
//! as much as a small message. The end of a poll wakes nothing: until the next check, the watchdog
//! may treat an ended poll as running.
//!
//! The wake itself cannot be lost: after an `unpark`, the next `park` returns immediately.
//!
//! The same words say whether a fast handler of a publisher runs: `handler_mark.rs`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use mycelium_transports::counters::{Line, WatchdogValue};

use super::threads::Threads;
use crate::support::lock::lock;

/// How long the watchdog waits before it relies on the words.
const SETTLE: Duration = Duration::from_millis(1);

/// The word of a service, or of one of its child tasks: says whether it is in a poll.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct PollMark {
    /// The number of polls that have begun, plus the number that have ended. Only the polling
    /// thread writes it.
    polls: AtomicU64,
    watchdog: Arc<WatchdogHandle>,
}

impl PollMark {
    pub(crate) fn new(watchdog: &Arc<WatchdogHandle>) -> Arc<PollMark> {
        Arc::new(PollMark { polls: AtomicU64::new(0), watchdog: watchdog.clone() })
    }

    /// Begins a poll, which ends when the guard is dropped.
    #[inline]
    pub(crate) fn begin(&self) -> PollGuard<'_> {
        self.enter();
        PollGuard(self)
    }

    /// Begins a poll, which [`leave`](PollMark::leave) ends.
    #[inline]
    pub(super) fn enter(&self) {
        let PollMark { polls, watchdog } = self;
        polls.store(polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        if watchdog.asleep.load(Ordering::Relaxed) {
            watchdog.wake();
        }
    }

    #[inline]
    pub(super) fn leave(&self) {
        let PollMark { polls, .. } = self;
        polls.store(polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Acquire)
    }

    pub(crate) fn is_in_poll(&self) -> bool {
        self.polls() % 2 == 1
    }
}

pub(crate) struct PollGuard<'a>(&'a PollMark);

impl Drop for PollGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The fast handlers of one publisher, as the watchdog identifies them.
#[derive(Debug)]
pub(crate) struct WatchedHandlers {
    pub(crate) topic: Box<str>,
    pub(crate) publisher: Box<str>,
    pub(super) handlers: Box<[Arc<str>]>,
    /// The index of the running handler.
    pub(super) running: AtomicUsize,
}

impl WatchedHandlers {
    /// Returns the name of the running handler, or of the last one that ran.
    pub(crate) fn running(&self) -> &str {
        self.handlers.get(self.running.load(Ordering::Relaxed)).map_or("?", |name| name)
    }
}

/// The subject that the watchdog observes by a mark.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The polls of a service, with its name.
    Service(String, Line<WatchdogValue>),
    /// The polls of a child task of this service. They count in the line of the service.
    Child(String),
    /// The fast handlers of a publisher.
    Handlers(Arc<WatchedHandlers>),
}

/// The part of the watchdog that other threads use.
#[derive(Debug, Default)]
pub(crate) struct WatchdogHandle {
    asleep: AtomicBool,
    pub(crate) stopped: AtomicBool,
    pub(crate) thread: OnceLock<thread::Thread>,
    new_marks: Mutex<Vec<(Subject, Arc<PollMark>)>>,
    has_new_marks: AtomicBool,
    /// The watchdog's thread, until it has ended.
    pub(crate) threads: Arc<Threads>,
}

impl WatchdogHandle {
    #[cold]
    fn wake(&self) {
        // If many polls begin at once, only one of them wakes the watchdog.
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Observes a subject until it drops the mark.
    pub(crate) fn watch(self: &Arc<WatchdogHandle>, subject: Subject) -> Arc<PollMark> {
        let mark = PollMark::new(self);
        lock(&self.new_marks).push((subject, mark.clone()));
        // Set before the first poll of the mark: either the watchdog sees this before it parks, or
        // that poll sees that the watchdog is asleep.
        self.has_new_marks.store(true, Ordering::SeqCst);
        mark
    }

    pub(crate) fn has_new_marks(&self) -> bool {
        self.has_new_marks.load(Ordering::SeqCst)
    }

    /// Returns the marks that were added since the last call.
    pub(crate) fn new_marks(&self) -> Vec<(Subject, Arc<PollMark>)> {
        if !self.has_new_marks.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut *lock(&self.new_marks))
    }

    /// Parks until a poll begins, unless one has begun.
    pub(crate) fn sleep(&self, is_idle: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        // A poll that sees `asleep` ends this wait.
        thread::park_timeout(SETTLE);
        if self.asleep.load(Ordering::SeqCst) && is_idle() && !self.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Ends the watchdog.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.thread.get().inspect(|thread| thread.unpark());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// Each poll begins while the watchdog is about to park, and ends only after it was seen.
    #[test]
    fn a_poll_that_begins_as_the_watchdog_falls_asleep_is_seen() {
        let handle = Arc::new(WatchdogHandle::default());
        let polled = PollMark::new(&handle);
        let (see, seen) = channel();
        let (own, mark) = (handle.clone(), polled.clone());
        let watchdog = thread::spawn(move || {
            let _ = own.thread.set(thread::current());
            let mut last = 0;
            while !own.stopped.load(Ordering::SeqCst) {
                let polls = mark.polls();
                if polls % 2 == 1 && polls != last {
                    last = polls;
                    see.send(polls).unwrap();
                } else if polls % 2 == 0 {
                    own.sleep(|| !mark.is_in_poll());
                }
            }
        });
        let tries = if cfg!(miri) { 50 } else { 100_000 };
        for number in 0..tries {
            let poll = polled.begin();
            let told = seen.recv_timeout(Duration::from_secs(20));
            assert_eq!(told, Ok(2 * number + 1), "the poll was missed");
            drop(poll);
            // The next poll begins at different moments on the watchdog's way to park.
            (0..number % 64).for_each(|_| std::hint::spin_loop());
        }
        handle.stop();
        watchdog.join().unwrap();
    }
}
