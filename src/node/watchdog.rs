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

use super::Shared;
use super::driver::ABANDON_WITHIN;
use super::threads::Threads;
use crate::observe::Event;

/// A watchdog that looks more often would cost more than it tells.
const OFTENEST: Duration = Duration::from_millis(1);

/// One service, as the watchdog sees it.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Watched {
    /// How many polls have begun, and how many have ended. Only the thread that polls writes it.
    polls: AtomicU64,
    dog: Arc<Dog>,
}

impl Watched {
    pub(super) fn new(dog: &Arc<Dog>) -> Arc<Watched> {
        Arc::new(Watched { polls: AtomicU64::new(0), dog: dog.clone() })
    }

    /// A poll begins; it ends when the guard is dropped.
    #[inline]
    pub(super) fn watch(&self) -> InPoll<'_> {
        self.polls.store(self.polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::SeqCst);
        if self.dog.asleep.load(Ordering::SeqCst) {
            self.dog.wake();
        }
        InPoll(self)
    }

    fn polls(&self) -> u64 {
        self.polls.load(Ordering::SeqCst)
    }

    fn is_in_poll(&self) -> bool {
        self.polls() % 2 == 1
    }
}

pub(super) struct InPoll<'a>(&'a Watched);

impl Drop for InPoll<'_> {
    #[inline]
    fn drop(&mut self) {
        let Watched { polls, .. } = self.0;
        polls.store(polls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

/// The watchdog, as others see it.
#[derive(Debug, Default)]
pub(super) struct Dog {
    asleep: AtomicBool,
    stopped: AtomicBool,
    thread: OnceLock<thread::Thread>,
    threads: Arc<Threads>,
}

impl Dog {
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
    dog: Arc<Dog>,
    limit: Duration,
    services: Vec<Sight>,
    /// When it first saw that the node shuts down.
    shut_down_at: Option<Duration>,
}

/// What the watchdog knows of a service.
struct Sight {
    name: String,
    watched: Arc<Watched>,
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
        dog: &Arc<Dog>,
        limit: Duration,
        services: impl Iterator<Item = (String, Arc<Watched>)>,
    ) -> Result<(), ThreadError> {
        let sight = |(name, watched)| {
            let line = shared.counters.line(&format!("service={name}"));
            Sight { name, watched, line, polls: 0, since: Duration::ZERO, hangs: false }
        };
        let services = services.map(sight).collect();
        let (node, dog) = (shared.clone(), dog.clone());
        let mut watchdog = Watchdog { shared: node, dog, limit, services, shut_down_at: None };
        let name = format!("watch-{}", shared.plan.node).replace(char::is_control, "_");
        let thread = Thread { name, ..Thread::default() };
        let presence = watchdog.dog.threads.start(&thread.name);
        let started = thread.start(move || {
            presence.of_this_thread();
            // Before it can sleep: who wakes it needs this.
            let _ = watchdog.dog.thread.set(thread::current());
            Ok(move || watchdog.run())
        });
        started.map(drop)
    }

    fn run(&mut self) {
        let pause = (self.limit / 4).max(OFTENEST);
        while !self.dog.stopped.load(Ordering::SeqCst) {
            if self.look() {
                if self.node_is_stuck() {
                    return self.end_node();
                }
                thread::park_timeout(pause);
            } else {
                let services = &self.services;
                self.dog.sleep(|| !services.iter().any(|sight| sight.watched.is_in_poll()));
            }
        }
    }

    /// Looks at all services, and says whether any is in a poll.
    fn look(&mut self) -> bool {
        let now = self.shared.executor.now();
        let mut any = false;
        for sight in &mut self.services {
            let polls = sight.watched.polls();
            let lasted = now.saturating_sub(sight.since);
            if polls != sight.polls {
                if std::mem::take(&mut sight.hangs) {
                    tracing::warn!(service = sight.name, ?lasted, "a poll that hung has ended");
                    let service = &sight.name;
                    self.shared.observers.tell(&Event::PollEnded { service, lasted });
                }
                (sight.polls, sight.since) = (polls, now);
            } else if polls % 2 == 1 && !sight.hangs && lasted >= self.limit {
                sight.hangs = true;
                sight.line.add(WatchdogValue::LongPolls, 1);
                let (service, limit) = (&sight.name, self.limit);
                tracing::warn!(service, ?limit, "a poll hangs: nothing else runs on its thread");
                self.shared.observers.tell(&Event::PollHangs { service, limit });
            }
            any |= polls % 2 == 1;
        }
        any
    }

    /// Whether the shutdown's deadline has passed without the node's driver: a poll hangs on the thread that it needs.
    fn node_is_stuck(&mut self) -> bool {
        if !self.shared.shutdown.is_set() || self.shared.seen_off.load(Ordering::SeqCst) {
            return false;
        }
        let now = self.shared.executor.now();
        let since = *self.shut_down_at.get_or_insert(now);
        let patience = self.shared.patience() + 2 * ABANDON_WITHIN;
        now.saturating_sub(since) >= patience && self.services.iter().any(|sight| sight.hangs)
    }

    /// Does what the driver cannot: whoever waits for the node learns who holds it up.
    fn end_node(&self) {
        let hanging = self.services.iter().filter(|sight| sight.hangs);
        self.shared.abandon(hanging.map(|sight| sight.name.clone()).collect());
        self.shared.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Each poll begins as the watchdog falls asleep, and ends only when it was seen.
    #[test]
    fn a_poll_that_begins_as_the_watchdog_falls_asleep_is_seen() {
        let dog = Arc::new(Dog::default());
        let watched = Watched::new(&dog);
        let (see, seen) = channel();
        let (own, sight) = (dog.clone(), watched.clone());
        let watchdog = thread::spawn(move || {
            let _ = own.thread.set(thread::current());
            let mut last = 0;
            while !own.stopped.load(Ordering::SeqCst) {
                let polls = sight.polls();
                if polls % 2 == 1 && polls != last {
                    last = polls;
                    see.send(polls).unwrap();
                } else if polls % 2 == 0 {
                    own.sleep(|| !sight.is_in_poll());
                }
            }
        });
        let tries = if cfg!(miri) { 50 } else { 100_000 };
        for number in 0..tries {
            let poll = watched.watch();
            let told = seen.recv_timeout(Duration::from_secs(20));
            assert_eq!(told, Ok(2 * number + 1), "the poll was missed");
            drop(poll);
            // Sooner or later, and at any moment of its way to sleep.
            (0..number % 64).for_each(|_| std::hint::spin_loop());
        }
        dog.stop();
        watchdog.join().unwrap();
    }
}
