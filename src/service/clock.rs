//! The parts that a service and its child tasks share: the node's time, and the results of tasks.

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::select;
use mycelium_executor::{Executor, SendFuture};

use crate::error::{Problem, ShuttingDown, Unfinished, zero_period};
use crate::shared::Lifecycle;

/// The time of a node, for child tasks and other threads.
#[derive(Clone)]
pub struct Clock {
    lifecycle: Arc<Lifecycle>,
    /// The executor of the node, which has the time of the whole node.
    node: Arc<dyn Executor>,
    executor: Arc<dyn Executor>,
}

impl Clock {
    pub(crate) fn new(
        lifecycle: Arc<Lifecycle>,
        node: Arc<dyn Executor>,
        executor: Arc<dyn Executor>,
    ) -> Clock {
        Clock { lifecycle, node, executor }
    }

    /// Returns the node's time: see [`Context::now`](crate::Context::now).
    #[must_use]
    pub fn now(&self) -> Duration {
        self.node.now()
    }

    /// Waits for `duration`, or until the node shuts down: see
    /// [`Context::sleep`](crate::Context::sleep).
    ///
    /// # Errors
    /// [`ShuttingDown`] if the node shuts down, before or during the wait.
    pub async fn sleep(&self, duration: Duration) -> Result<(), ShuttingDown> {
        let Clock { lifecycle, executor, .. } = self;
        let wake = executor.sleep_until(executor.now().saturating_add(duration));
        select(wake, pin!(lifecycle.shutdown.wait())).await;
        if lifecycle.shutdown.is_set() { Err(ShuttingDown) } else { Ok(()) }
    }
}

/// Ticks with a fixed period: [`Context::interval`](crate::Context::interval).
///
/// The first tick is one period after the creation, and the others follow at multiples of the
/// period: the time that the service takes between two ticks is not added. If the service is late,
/// the tick comes immediately, and the next one at the next multiple of the period. The ticks in
/// between are skipped; [`skipped`](Interval::skipped) counts them.
pub struct Interval {
    clock: Clock,
    period: Duration,
    next: Duration,
    skipped: u64,
    timer: Option<SendFuture<()>>,
    shutdown: SendFuture<()>,
}

impl Clock {
    /// Returns a ticker with a fixed period: see [`Context::interval`](crate::Context::interval).
    ///
    /// # Errors
    /// [`Problem`] if the period is zero.
    pub fn interval(&self, period: Duration) -> Result<Interval, Problem> {
        if period.is_zero() {
            return Err(zero_period());
        }
        let (clock, lifecycle) = (self.clone(), self.lifecycle.clone());
        let shutdown = Box::pin(async move { lifecycle.shutdown.wait().await });
        let next = self.executor.now().saturating_add(period);
        Ok(Interval { clock, period, next, skipped: 0, timer: None, shutdown })
    }
}

impl Interval {
    /// Waits for the next tick. Dropping the future loses no tick.
    ///
    /// # Errors
    /// [`ShuttingDown`] if the node shuts down, before or during the wait. A service that returns
    /// this error with `?` has ended without a failure.
    pub async fn tick(&mut self) -> Result<(), ShuttingDown> {
        poll_fn(|context| self.poll_tick(context)).await
    }

    /// Polls for the next tick, as [`tick`](Interval::tick), for hand-written futures.
    ///
    /// # Errors
    /// Same as [`tick`](Interval::tick).
    pub fn poll_tick(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), ShuttingDown>> {
        let Interval { clock: Clock { lifecycle, executor, .. }, period, next, skipped, .. } = self;
        if lifecycle.shutdown.is_set() || self.shutdown.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(ShuttingDown));
        }
        loop {
            let now = executor.now();
            if now >= *next {
                self.timer = None;
                let missed = (now - *next).as_nanos() / period.as_nanos();
                *skipped = skipped.saturating_add(missed as u64);
                let since_tick = (now - *next).as_nanos() % period.as_nanos();
                // Cannot overflow, because the rest is less than the period, which is a `Duration`.
                let rest = *period - Duration::from_nanos_u128(since_tick);
                *next = now.saturating_add(rest);
                return Poll::Ready(Ok(()));
            }
            let timer = self.timer.get_or_insert_with(|| executor.sleep_until(*next));
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
        }
    }

    /// Returns the number of ticks that were skipped because the service was late.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns the time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}

impl Debug for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Interval { period, next, skipped, .. } = self;
        let mut f = f.debug_struct("Interval");
        f.field("period", period).field("next", next).field("skipped", skipped);
        f.finish_non_exhaustive()
    }
}

impl Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// A future for the result of a task or of blocking work.
///
/// The result is [`Unfinished`] if the work panicked, or was dropped before it finished.
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
