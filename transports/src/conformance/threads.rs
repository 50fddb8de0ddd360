//! A minimal executor: one thread per task and one for the timers, without a network.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::conformance::Subject;
use mycelium_executor::{Clock, Executor, MakeDedicated, SendFuture, SpawnError, block_on};

use crate::sync::lock;

/// Runs each task on its own thread. [`Subject::run`] waits for all of them.
pub struct Threads {
    clock: Clock,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    timers: Arc<Timers>,
}

impl Subject for Threads {
    const NAME: &'static str = "threads";

    fn run(body: MakeDedicated) {
        let threads = Arc::new(Threads::new());
        let timers = threads.timers.clone();
        let clock = thread::spawn(move || timers.run());
        block_on(body(threads.clone()), WaitStrategy::Park);
        // Repeats until no task is left, because tasks may start other tasks.
        while let Some(task) = threads.task() {
            // The thread has printed the panic already.
            _ = task.join();
        }
        threads.timers.end();
        _ = clock.join();
    }
}

impl Threads {
    fn new() -> Threads {
        Threads { clock: Clock::start(), tasks: Mutex::default(), timers: Arc::default() }
    }

    fn task(&self) -> Option<JoinHandle<()>> {
        lock(&self.tasks).pop()
    }

    fn start(&self, work: impl FnOnce() + Send + 'static) -> Result<(), SpawnError> {
        let thread = thread::Builder::new().spawn(work).map_err(|_| SpawnError::Ended)?;
        lock(&self.tasks).push(thread);
        Ok(())
    }
}

impl Executor for Threads {
    fn name(&self) -> String {
        "threads".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        self.start(move || block_on(task, WaitStrategy::Park))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        self.start(work)
    }

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        match self.clock.instant(deadline) {
            Some(at) => Box::pin(Timer { at, place: None, timers: self.timers.clone() }),
            None => Box::pin(std::future::pending()),
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// The wakers of all timers, for the timer thread.
#[derive(Default)]
struct Timers {
    state: Mutex<Alarms>,
    changed: Condvar,
}

#[derive(Default)]
struct Alarms {
    /// The wakers, by deadline and a unique number.
    set: BTreeMap<(Instant, u64), Waker>,
    last: u64,
    ended: bool,
}

impl Timers {
    #[expect(clippy::disallowed_methods, reason = "an executor is where time comes from")]
    fn run(&self) {
        let mut alarms = lock(&self.state);
        while !alarms.ended {
            let now = Instant::now();
            let due = alarms.set.first_entry().filter(|first| first.key().0 <= now);
            if let Some(waker) = due.map(|first| first.remove()) {
                drop(alarms);
                waker.wake();
                alarms = lock(&self.state);
                continue;
            }
            let first = alarms.set.first_key_value().map(|((at, _), _)| *at);
            let sleep = first.map_or(Duration::MAX, |at| at - now);
            let woken = self.changed.wait_timeout(alarms, sleep);
            alarms = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_one();
    }
}

/// A timer, which is ready at its deadline.
struct Timer {
    at: Instant,
    /// The key of the timer's waker in the set; `None` if no waker is set.
    place: Option<(Instant, u64)>,
    timers: Arc<Timers>,
}

impl Future for Timer {
    type Output = ();

    #[expect(clippy::disallowed_methods, reason = "an executor is where time comes from")]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let timers = self.timers.clone();
        let mut alarms = lock(&timers.state);
        alarms.last += 1;
        let place = self.place.unwrap_or((self.at, alarms.last));
        self.place = Some(place);
        alarms.set.insert(place, context.waker().clone());
        timers.changed.notify_one();
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            lock(&self.timers.state).set.remove(&place);
        }
    }
}
