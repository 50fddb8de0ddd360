//! A minimal executor: one thread per task and one for the timers, without a network.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
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
    alarms: Sender<Alarm>,
}

impl Subject for Threads {
    const NAME: &'static str = "threads";

    fn run(body: MakeDedicated) {
        let (alarms, set) = channel();
        let timers = thread::spawn(move || wake_in_time(&set));
        let tasks = Mutex::default();
        let threads = Arc::new(Threads { clock: Clock::start(), tasks, alarms });
        block_on(body(threads.clone()), WaitStrategy::Park);
        // Repeats until no task is left, because tasks may start other tasks.
        while let Some(task) = threads.task() {
            // The thread has printed the panic already.
            _ = task.join();
        }
        _ = threads.alarms.send(Alarm::End);
        _ = timers.join();
    }
}

impl Threads {
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
            Some(at) => Box::pin(Timer { at, number: None, alarms: self.alarms.clone() }),
            None => Box::pin(std::future::pending()),
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

/// A message to the thread of the timers. A timer has a deadline and a unique number.
enum Alarm {
    Set(Instant, u64, Waker),
    Forget(Instant, u64),
    End,
}

/// Wakes each timer at its deadline.
#[expect(clippy::disallowed_methods, reason = "an executor is where time comes from")]
fn wake_in_time(alarms: &Receiver<Alarm>) {
    let mut set = BTreeMap::new();
    loop {
        let now = Instant::now();
        let later = set.split_off(&(now, u64::MAX));
        std::mem::replace(&mut set, later).into_values().for_each(Waker::wake);
        let first = set.first_key_value();
        let pause = first.map_or(Duration::MAX, |((at, _), _)| *at - now);
        match alarms.recv_timeout(pause) {
            Ok(Alarm::Set(at, number, waker)) => _ = set.insert((at, number), waker),
            Ok(Alarm::Forget(at, number)) => _ = set.remove(&(at, number)),
            Ok(Alarm::End) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// A timer, which is ready at its deadline. Dropping it cancels its alarm.
struct Timer {
    at: Instant,
    /// The number by which the timer's thread knows it; `None` if its waker is not set.
    number: Option<u64>,
    alarms: Sender<Alarm>,
}

impl Future for Timer {
    type Output = ();

    #[expect(clippy::disallowed_methods, reason = "an executor is where time comes from")]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
        _ = self.alarms.send(Alarm::Set(self.at, number, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            _ = self.alarms.send(Alarm::Forget(self.at, number));
        }
    }
}
