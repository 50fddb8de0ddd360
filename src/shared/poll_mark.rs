//! The words by which the watchdog sees polls, and how a poll wakes it.
//!
//! A poll does not read the clock. Each service has a word that is incremented when a poll begins
//! and when it ends. An odd word means *in a poll*; the same odd value at two checks means that one
//! poll has lasted since the first. While any word is odd, the watchdog checks all words
//! periodically. While none is, it parks without a timeout, so an idle node has no wake-ups. The
//! next poll must wake it, and that wake must not be lost:
//!
//! | poll | watchdog |
//! | --- | --- |
//! | make the word odd | set `asleep` |
//! | if `asleep` is set, wake the watchdog | if a word is odd, stay awake |
//!
//! All four are `SeqCst`, so they have one order in which each load sees the stores before it. If
//! the store of the word comes before the watchdog's load of it, the watchdog stays awake. If it
//! comes after, then the poll's load of `asleep` comes after the watchdog's store of it, so the
//! poll wakes the watchdog. With weaker orderings each side could miss the store of the other. The
//! end of a poll wakes nobody: until the next check, the watchdog may take a poll that has ended
//! for one that lasts.
//!
//! The wake itself cannot be lost: after an `unpark`, the next `park` returns at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use super::threads::Threads;

/// The word of one service, or of one of its child tasks: whether it is in a poll.
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

    /// A poll begins; it ends when the guard is dropped.
    #[inline]
    pub(crate) fn begin(&self) -> PollGuard<'_> {
        self.polls.store(self.polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::SeqCst);
        if self.watchdog.asleep.load(Ordering::SeqCst) {
            self.watchdog.wake();
        }
        PollGuard(self)
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::SeqCst)
    }

    pub(crate) fn is_in_poll(&self) -> bool {
        self.polls() % 2 == 1
    }
}

pub(crate) struct PollGuard<'a>(&'a PollMark);

impl Drop for PollGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let PollMark { polls, .. } = self.0;
        polls.store(polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

/// What other threads use of the watchdog.
#[derive(Debug, Default)]
pub(crate) struct WatchdogHandle {
    asleep: AtomicBool,
    pub(crate) stopped: AtomicBool,
    pub(crate) thread: OnceLock<thread::Thread>,
    /// Child tasks that the watchdog has not seen yet, with the names of their services.
    children: Mutex<Vec<(String, Arc<PollMark>)>>,
    has_new_children: AtomicBool,
    pub(crate) threads: Arc<Threads>,
}

impl WatchdogHandle {
    #[cold]
    fn wake(&self) {
        // If many polls begin at once, only one wakes it.
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Watches a child task of a service, until it drops the mark.
    pub(crate) fn watch_child(self: &Arc<WatchdogHandle>, service: &str) -> Arc<PollMark> {
        let mark = PollMark::new(self);
        self.children().push((service.to_owned(), mark.clone()));
        // Before the first poll of the task: either the watchdog sees this before it parks, or that
        // poll sees that it is asleep.
        self.has_new_children.store(true, Ordering::SeqCst);
        mark
    }

    pub(crate) fn has_new_children(&self) -> bool {
        self.has_new_children.load(Ordering::SeqCst)
    }

    /// The child tasks since the last call.
    pub(crate) fn new_children(&self) -> Vec<(String, Arc<PollMark>)> {
        if !self.has_new_children.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut *self.children())
    }

    fn children(&self) -> MutexGuard<'_, Vec<(String, Arc<PollMark>)>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parks until a poll begins, unless one has begun.
    pub(crate) fn sleep(&self, is_idle: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        if is_idle() && !self.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Ends the watchdog.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.thread.get().inspect(|thread| thread.unpark());
    }

    /// Its thread, until that has ended.
    pub(crate) fn threads(&self) -> &Threads {
        &self.threads
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

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
