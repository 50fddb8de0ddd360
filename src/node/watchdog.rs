//! The watchdog: a thread that reports services whose polls last too long. Nothing else runs on the
//! thread of such a poll.
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
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use mycelium_executor::{Thread, ThreadError};
use mycelium_transports::counters::{Line, WatchdogValue};

use crate::log;
use crate::observe::Event;
use crate::shared::{ABANDON_WITHIN, Shared, Threads};

/// The shortest time between two checks.
const OFTENEST: Duration = Duration::from_millis(1);

/// The word of one service: whether it is in a poll.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct PollMark {
    /// The number of polls that have begun, plus the number that have ended. Only the polling
    /// thread writes it.
    polls: AtomicU64,
    watchdog: Arc<WatchdogHandle>,
}

impl PollMark {
    pub(super) fn new(watchdog: &Arc<WatchdogHandle>) -> Arc<PollMark> {
        Arc::new(PollMark { polls: AtomicU64::new(0), watchdog: watchdog.clone() })
    }

    /// A poll begins; it ends when the guard is dropped.
    #[inline]
    pub(super) fn begin(&self) -> PollGuard<'_> {
        self.polls.store(self.polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::SeqCst);
        if self.watchdog.asleep.load(Ordering::SeqCst) {
            self.watchdog.wake();
        }
        PollGuard(self)
    }

    fn polls(&self) -> u64 {
        self.polls.load(Ordering::SeqCst)
    }

    fn is_in_poll(&self) -> bool {
        self.polls() % 2 == 1
    }
}

pub(super) struct PollGuard<'a>(&'a PollMark);

impl Drop for PollGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let PollMark { polls, .. } = self.0;
        polls.store(polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

/// What other threads use of the watchdog.
#[derive(Debug, Default)]
pub(super) struct WatchdogHandle {
    asleep: AtomicBool,
    stopped: AtomicBool,
    thread: OnceLock<thread::Thread>,
    threads: Arc<Threads>,
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

    /// Parks until a poll begins, unless one has begun.
    fn sleep(&self, is_idle: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        if is_idle() && !self.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Ends the watchdog.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.thread.get().inspect(|thread| thread.unpark());
    }

    /// Its thread, until that has ended.
    pub(super) fn threads(&self) -> &Threads {
        &self.threads
    }
}

/// The watchdog on its thread.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    handle: Arc<WatchdogHandle>,
    limit: Duration,
    services: Vec<WatchedService>,
    /// The time at which it first saw the shutdown.
    shut_down_at: Option<Duration>,
}

/// A service, and what the last check found.
struct WatchedService {
    name: String,
    mark: Arc<PollMark>,
    line: Line<WatchdogValue>,
    /// Its word at the last check, and when this value was first seen.
    polls: u64,
    since: Duration,
    hangs: bool,
}

impl Watchdog {
    /// Starts the thread.
    pub(super) fn start(
        shared: &Arc<Shared>,
        handle: &Arc<WatchdogHandle>,
        limit: Duration,
        services: impl Iterator<Item = (String, Arc<PollMark>)>,
    ) -> Result<(), ThreadError> {
        let watched = |(name, mark)| {
            let line = shared.topics.counters().line(&format!("service={name}"));
            WatchedService { name, mark, line, polls: 0, since: Duration::ZERO, hangs: false }
        };
        let services = services.map(watched).collect();
        let (node, handle) = (shared.clone(), handle.clone());
        let mut watchdog = Watchdog { shared: node, handle, limit, services, shut_down_at: None };
        let name = format!("watch-{}", shared.plan.node).replace(char::is_control, "_");
        let thread = Thread { name, ..Thread::default() };
        let thread_guard = watchdog.handle.threads.start(&thread.name);
        let started = thread.start(move || {
            thread_guard.of_this_thread();
            // Set before the watchdog can park: a wake needs it.
            let _ = watchdog.handle.thread.set(thread::current());
            Ok(move || watchdog.run())
        });
        started.map(drop)
    }

    fn run(&mut self) {
        let pause = (self.limit / 4).max(OFTENEST);
        while !self.handle.stopped.load(Ordering::SeqCst) {
            if self.check() {
                if self.node_is_stuck() {
                    return self.end_node();
                }
                thread::park_timeout(pause);
            } else {
                let services = &self.services;
                self.handle.sleep(|| !services.iter().any(|service| service.mark.is_in_poll()));
            }
        }
    }

    /// Checks all services. Returns whether any is in a poll.
    fn check(&mut self) -> bool {
        let now = self.shared.executor.now();
        let mut any = false;
        for service in &mut self.services {
            let polls = service.mark.polls();
            let lasted = now.saturating_sub(service.since);
            if polls != service.polls {
                if std::mem::take(&mut service.hangs) {
                    log::warn!(
                        service = service.name,
                        ?lasted,
                        "a poll of the service has ended, after it hung"
                    );
                    let service = &service.name;
                    self.shared.lifecycle.observers.notify(&Event::PollEnded { service, lasted });
                }
                (service.polls, service.since) = (polls, now);
            } else if polls % 2 == 1 && !service.hangs && lasted >= self.limit {
                service.hangs = true;
                service.line.add(WatchdogValue::LongPolls, 1);
                let (service, limit) = (&service.name, self.limit);
                log::warn!(
                    service,
                    ?limit,
                    "a poll of the service hangs: nothing else runs on its thread"
                );
                self.shared.lifecycle.observers.notify(&Event::PollHangs { service, limit });
            }
            any |= polls % 2 == 1;
        }
        any
    }

    /// Whether the shutdown's deadline has passed while the node's driver could not run, because a
    /// poll hangs on its thread.
    fn node_is_stuck(&mut self) -> bool {
        if !self.shared.lifecycle.shutdown.is_set()
            || self.shared.services.are_settled.load(Ordering::SeqCst)
        {
            return false;
        }
        let now = self.shared.executor.now();
        let since = *self.shut_down_at.get_or_insert(now);
        let timeout = self.shared.shutdown_timeout() + 2 * ABANDON_WITHIN;
        now.saturating_sub(since) >= timeout && self.services.iter().any(|service| service.hangs)
    }

    /// Ends the node in place of the driver, so that its owner learns which services hang.
    fn end_node(&self) {
        let hanging = self.services.iter().filter(|service| service.hangs);
        self.shared.abandon(hanging.map(|service| service.name.clone()).collect());
        self.shared.lifecycle.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

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
