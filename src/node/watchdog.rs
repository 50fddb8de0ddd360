//! A thread that names services whose polls last too long: nothing else runs on their executor's thread meanwhile.
//!
//! Who polls reads no clock. Each service has a word that it counts up when a poll begins and when it ends: odd is *in a
//! poll*, and the same odd number at two looks is one poll that has lasted since. The watchdog looks at all words again
//! and again while any is odd, and sleeps without a timeout when none is: an idle node has no wake-ups. So the poll that
//! begins then has to wake it, and one that does not end must not be missed:
//!
//! | poll | watchdog |
//! | --- | --- |
//! | make the word odd | say that it sleeps |
//! | is the watchdog asleep? then wake it | is a word odd? then stay awake |
//!
//! All four are `SeqCst`, so there is one order of them in which each load sees the stores before it. Either the word comes
//! before the watchdog's look at it, which stays awake; or it comes after, and so does the poll's look, which sees that the
//! watchdog sleeps, and wakes it. With anything weaker both could miss each other, each store still on its way while the
//! other side looks. The end of a poll tells nobody: who sees it late takes a poll that has ended for one that lasts, at
//! most until the next look.
//!
//! The wake itself cannot be lost: `unpark` before `park` makes that one return.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use mycelium_executor::{Thread, ThreadError};
use mycelium_transports::counters::{Line, WatchdogValue};

use crate::observe::Event;
use crate::shared::{ABANDON_WITHIN, Shared, Threads};

/// A watchdog that looks more often would cost more than it tells.
const OFTENEST: Duration = Duration::from_millis(1);

/// One service, as the watchdog sees it.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct PollMark {
    /// How many polls have begun, and how many have ended. Only the thread that polls writes it.
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

/// The watchdog, as others see it.
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
        // Of many that begin at once, one wakes it.
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Sleeps until a poll begins, unless one has.
    fn sleep(&self, is_idle: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        if is_idle() && !self.stopped.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.thread.get().inspect(|thread| thread.unpark());
    }

    /// Its thread, as long as that is there.
    pub(super) fn threads(&self) -> &Threads {
        &self.threads
    }
}

/// The watchdog itself, on its thread.
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    handle: Arc<WatchdogHandle>,
    limit: Duration,
    services: Vec<WatchedService>,
    /// When it first saw that the node shuts down.
    shut_down_at: Option<Duration>,
}

/// What the watchdog knows of a service.
struct WatchedService {
    name: String,
    mark: Arc<PollMark>,
    line: Line<WatchdogValue>,
    /// Its word at the last look, and when that was first seen.
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
            // Before it can sleep: who wakes it needs this.
            let _ = watchdog.handle.thread.set(thread::current());
            Ok(move || watchdog.run())
        });
        started.map(drop)
    }

    fn run(&mut self) {
        let pause = (self.limit / 4).max(OFTENEST);
        while !self.handle.stopped.load(Ordering::SeqCst) {
            if self.look() {
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

    /// Looks at all services, and says whether any is in a poll.
    fn look(&mut self) -> bool {
        let now = self.shared.executor.now();
        let mut any = false;
        for service in &mut self.services {
            let polls = service.mark.polls();
            let lasted = now.saturating_sub(service.since);
            if polls != service.polls {
                if std::mem::take(&mut service.hangs) {
                    tracing::warn!(service = service.name, ?lasted, "a poll that hung has ended");
                    let service = &service.name;
                    self.shared.lifecycle.observers.notify(&Event::PollEnded { service, lasted });
                }
                (service.polls, service.since) = (polls, now);
            } else if polls % 2 == 1 && !service.hangs && lasted >= self.limit {
                service.hangs = true;
                service.line.add(WatchdogValue::LongPolls, 1);
                let (service, limit) = (&service.name, self.limit);
                tracing::warn!(service, ?limit, "a poll hangs: nothing else runs on its thread");
                self.shared.lifecycle.observers.notify(&Event::PollHangs { service, limit });
            }
            any |= polls % 2 == 1;
        }
        any
    }

    /// Whether the shutdown's deadline has passed without the node's driver: a poll hangs on the thread that it needs.
    fn node_is_stuck(&mut self) -> bool {
        if !self.shared.lifecycle.shutdown.is_set()
            || self.shared.services.are_settled.load(Ordering::SeqCst)
        {
            return false;
        }
        let now = self.shared.executor.now();
        let since = *self.shut_down_at.get_or_insert(now);
        let patience = self.shared.shutdown_timeout() + 2 * ABANDON_WITHIN;
        now.saturating_sub(since) >= patience && self.services.iter().any(|service| service.hangs)
    }

    /// Does what the driver cannot: whoever waits for the node learns who holds it up.
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

    /// Each poll begins as the watchdog falls asleep, and ends only when it was seen.
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
            // Sooner or later, and at any moment of its way to sleep.
            (0..number % 64).for_each(|_| std::hint::spin_loop());
        }
        handle.stop();
        watchdog.join().unwrap();
    }
}
