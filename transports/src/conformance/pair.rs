//! Two executors and what laws do on them: start tasks, wait for them, and give futures up.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use mycelium_executor::Executor;

/// Where a law runs. The law itself is a task of the readers' executor.
#[derive(Clone)]
pub struct Pair {
    /// Where publishers run.
    pub publishers: Arc<dyn Executor>,
    /// Where readers run; the same, or another one on another thread.
    pub readers: Arc<dyn Executor>,
    /// So long something may take that has to happen.
    pub time_limit: Duration,
}

impl Pair {
    /// Runs a task where publishers run.
    pub fn publish<R: Send + 'static>(
        &self,
        task: impl Future<Output = R> + Send + 'static,
    ) -> Task<R> {
        Task::start(&self.publishers, task)
    }

    /// Runs a task where readers run.
    pub fn read<R: Send + 'static>(
        &self,
        task: impl Future<Output = R> + Send + 'static,
    ) -> Task<R> {
        Task::start(&self.readers, task)
    }

    /// Waits for the end of a task, which is to come. If it panicked, this does.
    ///
    /// # Panics
    /// If it does not come in time.
    pub async fn join<R>(&self, what: &str, task: Task<R>) -> R {
        match self.within(what, task.0).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => panic!("the executor dropped a task: {what}"),
        }
    }

    /// Waits for something that has to happen.
    ///
    /// # Panics
    /// If it does not happen in time.
    pub async fn within<R>(&self, what: &str, future: impl Future<Output = R>) -> R {
        if cfg!(miri) {
            // Timers cost an interpreter more than all else, and whoever stands still is seen anyway.
            return future.await;
        }
        match timeout(&self.readers, self.time_limit, future).await {
            Some(result) => result,
            None => panic!("never: {what}"),
        }
    }

    /// Waits until something holds, which nobody tells.
    ///
    /// # Panics
    /// If it does not hold in time.
    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let look = async {
            while !holds() {
                self.readers.sleep_until(self.readers.now() + LOOK_AGAIN).await;
            }
        };
        self.within(what, look).await;
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (publishers, readers) = (self.publishers.name(), self.readers.name());
        f.debug_struct("Pair").field("publishers", &publishers).field("readers", &readers).finish()
    }
}

const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// A task of a law.
#[derive(Debug)]
pub struct Task<R>(oneshot::Receiver<thread::Result<R>>);

impl<R: Send + 'static> Task<R> {
    fn start(executor: &Arc<dyn Executor>, task: impl Future<Output = R> + Send + 'static) -> Self {
        let (tell, told) = oneshot::channel();
        let task = AssertUnwindSafe(task).catch_unwind();
        let started = executor.spawn(Box::pin(async move {
            // Nobody listens if the law has failed meanwhile.
            _ = tell.send(task.await);
        }));
        started.expect("an executor that runs a law takes tasks");
        Task(told)
    }
}

/// What a future makes of so much time on an executor; `None` if it was not enough.
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

/// Polls a future at most so many times, each time when it is woken, and drops it then.
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

/// Calls `asleep` each time when a future waits.
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
