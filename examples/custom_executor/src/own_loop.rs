//! A loop that runs tasks and timers on one thread: all that a node needs of an executor. It has no network.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use mycelium_executor::{Executor, SendFuture, SpawnError};

#[derive(Clone)]
pub(crate) struct OwnLoop(Arc<State>);

struct State {
    origin: Instant,
    thread: Thread,
    /// Tasks that were woken; none once the loop has ended.
    ready: Mutex<Option<VecDeque<Arc<Task>>>>,
    /// When they are due, and whom they wake as long as somebody waits for them.
    timers: Mutex<Vec<(Duration, Weak<Alarm>)>>,
}

type Alarm = Mutex<Option<Waker>>;

struct Task(Mutex<Option<SendFuture<()>>>, Arc<State>);

impl OwnLoop {
    /// A loop for the calling thread.
    #[expect(clippy::disallowed_methods, reason = "an executor is where time comes from")]
    pub(crate) fn new() -> OwnLoop {
        let (thread, ready) = (thread::current(), Mutex::new(Some(VecDeque::new())));
        OwnLoop(Arc::new(State { origin: Instant::now(), thread, ready, timers: Mutex::default() }))
    }

    /// Runs all tasks until `main` is ready.
    pub(crate) fn run<F: Future>(&self, main: F) -> F::Output {
        let (state, mut main) = (&self.0, pin!(main));
        let waker = Waker::from(Arc::new(Unpark(state.thread.clone())));
        let output = loop {
            if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                break output;
            }
            let (now, mut timers) = (self.now(), lock(&state.timers));
            timers.retain(|(_, alarm)| alarm.strong_count() > 0);
            let due: Vec<_> = timers.extract_if(.., |(at, _)| *at <= now).collect();
            let first = timers.iter().map(|(at, _)| *at).min();
            drop(timers);
            let due = due.iter().filter_map(|(_, alarm)| lock(&*alarm.upgrade()?).take());
            due.for_each(Waker::wake);
            let next = lock(&state.ready).as_mut().and_then(VecDeque::pop_front);
            match (next, first) {
                (Some(task), _) => task.poll(),
                (None, Some(timer)) => thread::park_timeout(timer - now),
                (None, None) => thread::park(),
            }
        };
        let left = lock(&state.ready).take();
        drop(left);
        output
    }
}

impl Task {
    fn poll(self: Arc<Task>) {
        let (waker, mut future) = (Waker::from(self.clone()), lock(&self.0));
        let mut context = Context::from_waker(&waker);
        let poll = || future.as_mut().map(|future| future.as_mut().poll(&mut context));
        // A task that panics ends alone.
        if !matches!(catch_unwind(AssertUnwindSafe(poll)), Ok(Some(Poll::Pending))) {
            *future = None;
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        let state = self.1.clone();
        if let Some(ready) = &mut *lock(&state.ready) {
            ready.push_back(self);
        }
        state.thread.unpark();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Executor for OwnLoop {
    fn name(&self) -> String {
        "own loop".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        if lock(&self.0.ready).is_none() {
            return Err(SpawnError::Ended);
        }
        Arc::new(Task(Mutex::new(Some(task)), self.0.clone())).wake();
        Ok(())
    }

    fn now(&self) -> Duration {
        self.0.origin.elapsed()
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
