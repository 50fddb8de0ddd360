//! A loop that runs tasks and timers on one thread: all that a node requires of an executor. It has
//! no network and handles no signals.
//!
//! All tasks share one waker, and each wake-up polls all of them once. For a few services this is
//! the simplest design.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use mycelium_executor::{Clock, Executor, SendFuture, SpawnError, contain};

#[derive(Clone)]
pub(crate) struct OwnLoop(Arc<State>);

struct State {
    clock: Clock,
    thread: Thread,
    /// Tasks that have not been polled yet. None after the end of the loop.
    spawned: Mutex<Option<Vec<SendFuture<()>>>>,
    /// Deadlines, and the wakers of timers that have not been dropped.
    timers: Mutex<Vec<(Duration, Weak<Alarm>)>>,
}

type Alarm = Mutex<Option<Waker>>;

impl OwnLoop {
    /// A loop for the calling thread.
    pub(crate) fn new() -> OwnLoop {
        let (clock, thread) = (Clock::start(), thread::current());
        let (spawned, timers) = (Mutex::new(Some(Vec::new())), Mutex::default());
        OwnLoop(Arc::new(State { clock, thread, spawned, timers }))
    }

    /// Runs all tasks until `main` is ready. Then it drops the tasks that have not ended.
    pub(crate) fn run<F: Future>(&self, main: F) -> F::Output {
        let (mut main, mut tasks) = (pin!(main), Vec::new());
        let waker = Waker::from(self.0.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            tasks.extend(lock(&self.0.spawned).iter_mut().flat_map(std::mem::take));
            tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
            if let Poll::Ready(output) = main.as_mut().poll(&mut context) {
                let spawned = lock(&self.0.spawned).take();
                drop((spawned, tasks));
                return output;
            }
            // After a wake-up since the polls this returns at once.
            match self.fire_timers() {
                Some(pause) => thread::park_timeout(pause),
                None => thread::park(),
            }
        }
    }

    /// Wakes the timers that are due. Returns the time until the next deadline.
    fn fire_timers(&self) -> Option<Duration> {
        let (now, mut timers) = (self.now(), lock(&self.0.timers));
        timers.retain(|(_, alarm)| alarm.strong_count() > 0);
        let due: Vec<_> = timers.extract_if(.., |(at, _)| *at <= now).collect();
        let next = timers.iter().map(|(at, _)| *at - now).min();
        drop(timers);
        due.iter().filter_map(|(_, alarm)| lock(&*alarm.upgrade()?).take()).for_each(Waker::wake);
        next
    }
}

impl Wake for State {
    fn wake(self: Arc<State>) {
        self.thread.unpark();
    }
}

impl Executor for OwnLoop {
    fn name(&self) -> String {
        "own loop".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        let mut spawned = lock(&self.0.spawned);
        // A panic ends only its own task.
        spawned.as_mut().ok_or(SpawnError::Ended)?.push(Box::pin(contain(task)));
        self.0.thread.unpark();
        Ok(())
    }

    fn now(&self) -> Duration {
        self.0.clock.now()
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        let (own, alarm) = (self.clone(), Arc::new(Alarm::default()));
        lock(&own.0.timers).push((deadline, Arc::downgrade(&alarm)));
        own.0.thread.unpark();
        Box::pin(poll_fn(move |context| {
            *lock(&alarm) = Some(context.waker().clone());
            if own.now() >= deadline { Poll::Ready(()) } else { Poll::Pending }
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
