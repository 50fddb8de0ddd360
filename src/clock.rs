//! Shared by a service and its child tasks: the node's time, and the results of tasks.

use std::fmt::Debug;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::select;
use mycelium_executor::Executor;

use crate::error::{ShuttingDown, Unfinished};
use crate::shared::Shared;

/// The time of a node, for child tasks and other threads.
#[derive(Clone)]
pub struct Clock {
    shared: Arc<Shared>,
    executor: Arc<dyn Executor>,
}

impl Clock {
    pub(crate) fn new(shared: Arc<Shared>, executor: Arc<dyn Executor>) -> Clock {
        Clock { shared, executor }
    }

    /// See [`Context::now`](crate::Context::now).
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.executor.now()
    }

    /// See [`Context::sleep`](crate::Context::sleep).
    ///
    /// # Errors
    /// [`ShuttingDown`] if the node shuts down, now or earlier.
    pub async fn sleep(&self, duration: Duration) -> Result<(), ShuttingDown> {
        let Clock { shared, executor } = self;
        let wake = executor.sleep_until(executor.now().saturating_add(duration));
        select(wake, pin!(shared.lifecycle.shutdown.wait())).await;
        if shared.lifecycle.shutdown.is_set() { Err(ShuttingDown) } else { Ok(()) }
    }
}

impl Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// A future for the result of a task or of blocking work.
///
/// It is [`Unfinished`] if the work panicked, or was dropped before it finished.
#[derive(Debug)]
pub struct JoinHandle<T>(oneshot::Receiver<T>);

impl<T> JoinHandle<T> {
    pub(crate) fn new(result: oneshot::Receiver<T>) -> JoinHandle<T> {
        JoinHandle(result)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Unfinished>;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(|_| Unfinished)
    }
}
