//! The two executors of a law, with methods that start tasks, join them, and cancel futures.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use mycelium_executor::{Executor, SendFuture};

use crate::local::Tracer;

/// The executors of a law. The law itself is a task of the readers' executor.
#[derive(Clone)]
pub struct Pair {
    /// The executor of the publishers.
    pub publishers: Arc<dyn Executor>,
    /// The executor of the readers: the same executor, or another one on its own thread.
    pub readers: Arc<dyn Executor>,
    /// How long an expected event may take.
    pub time_limit: Duration,
    /// Begins the traces of messages, if the topics are traced.
    pub tracer: Option<Arc<Tracer>>,
    /// The share of messages whose latency is measured; `None` if it is not measured.
    pub latency_sample: Option<f64>,
    /// The clock whose calendar the topics use; `None` if the topics use the calendars of
    /// `publishers` and `readers`.
    pub clock: Option<Arc<dyn Executor>>,
}

impl Pair {
    /// Starts a task on the publishers' executor.
    pub fn publish<R: Send + 'static>(
        &self,
        task: impl Future<Output = R> + Send + 'static,
    ) -> Task<R> {
        Task::start(&self.publishers, Box::pin(task))
    }

    /// Starts a task on the readers' executor.
    pub fn read<R: Send + 'static>(
        &self,
        task: impl Future<Output = R> + Send + 'static,
    ) -> Task<R> {
        Task::start(&self.readers, Box::pin(task))
    }

    /// Waits for the end of a task. Returns its result.
    ///
    /// # Panics
    /// If the task panicked, or does not end in time.
    pub async fn join<R>(&self, what: &str, task: Task<R>) -> R {
        match self.within(what, task.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => panic!("the executor dropped a task: {what}"),
        }
    }

    /// Waits for a future, which is an event of the law.
    ///
    /// # Panics
    /// If the event does not happen in time.
    pub async fn within<R>(&self, what: &str, future: impl Future<Output = R>) -> R {
        if cfg!(miri) {
            // Sets no time limit under Miri: timers are slow there, and Miri reports deadlocks
            // itself.
            return future.await;
        }
        let future: Pin<&mut dyn Future<Output = R>> = pin!(future);
        match timeout(&self.readers, self.time_limit, future).await {
            Some(result) => result,
            None => panic!("timeout: {what}"),
        }
    }

    /// Polls a condition until it holds.
    ///
    /// # Panics
    /// If the condition does not hold in time.
    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let poll = async {
            while !holds() {
                self.readers.sleep_until(self.readers.now() + POLL_EVERY).await;
            }
        };
        self.within(what, poll).await;
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (publishers, readers) = (self.publishers.name(), self.readers.name());
        f.debug_struct("Pair").field("publishers", &publishers).field("readers", &readers).finish()
    }
}

pub(super) const POLL_EVERY: Duration = Duration::from_micros(500);

/// A task of a law.
#[derive(Debug)]
pub struct Task<R>(oneshot::Receiver<thread::Result<R>>);

impl<R: Send + 'static> Task<R> {
    /// Starts the task from a box, so that this code is compiled once for each result type and not
    /// for each task.
    fn start(executor: &Arc<dyn Executor>, task: SendFuture<R>) -> Self {
        let (sender, receiver) = oneshot::channel();
        let task = AssertUnwindSafe(task).catch_unwind();
        let started = executor.spawn(Box::pin(async move {
            // The receiver is gone if the law has failed.
            _ = sender.send(task.await);
        }));
        started.expect("the executor runs");
        Task(receiver)
    }
}

/// Runs a future for at most `time`; returns `None` if it did not end in this time.
pub(super) async fn timeout<R>(
    executor: &Arc<dyn Executor>,
    time: Duration,
    future: impl Future<Output = R>,
) -> Option<R> {
    let deadline = executor.sleep_until(executor.now() + time);
    match select(pin!(future), deadline).await {
        Either::Left((result, _)) => Some(result),
        Either::Right(_) => None,
    }
}

/// Polls a future at most `polls` times, once per wake, and then drops it.
pub async fn cut<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Calls `asleep` each time the future is pending.
pub(super) async fn watched<F: Future>(future: F, mut asleep: impl FnMut()) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            asleep();
        }
        polled
    })
    .await
}
