//! The environment of a service: time, tasks, the network, the shutdown, and logs.

use std::fmt::Debug;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use mycelium_core::TraceContext;
use mycelium_executor::{Listener, Stream, bind_tcp};
use mycelium_transports::local::{ChildTask, TaskBudget};

use super::{Context, Service};
#[cfg(feature = "actors")]
use crate::actor::Actors;
use crate::error::{Problem, ShuttingDown, code_of};
use crate::service::clock::{Clock, Interval, JoinHandle};
use crate::shared::{PollMark, Subject};
use crate::supervise::text_and_place;
use crate::support::log;

/// Logs a line of a service.
macro_rules! service_line {
    ($context:ident, $level:ident, $message:ident, $details:ident) => {{
        let (service, node) = ($context.name(), &*$context.waits.node.plan.node);
        match $context.current_delivery() {
            Some((trace_id, span_id, sequence)) => {
                log::$level!(service, node, trace_id, span_id, sequence, ?$details, "{}", $message)
            }
            None => log::$level!(service, node, ?$details, "{}", $message),
        }
    }};
}

impl<S: Service> Context<S> {
    /// Waits for `duration`, or until the node shuts down.
    ///
    /// # Errors
    /// [`ShuttingDown`] if the node shuts down, before or during the wait. A service that returns
    /// this error with `?` has ended without a failure.
    pub fn sleep(
        &self,
        duration: Duration,
    ) -> impl Future<Output = Result<(), ShuttingDown>> + Send + use<S> + 'static {
        let clock = self.clock();
        async move { clock.sleep(duration).await }
    }

    /// Returns a ticker with a fixed period, without drift: the first tick comes one period from
    /// now. See [`Interval`].
    ///
    /// # Errors
    /// [`Problem`] if the period is zero; a service that returns this error is not restarted.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "beats", id = 1)]
    /// # struct Beat { number: u64 }
    /// # struct Heart;
    /// #[service(emits(Beat))]
    /// impl Heart {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut interval = ctx.interval(Duration::from_secs(1))?;
    ///         for number in 0.. {
    ///             // At a shutdown `tick` returns an error, and the service ends well.
    ///             interval.tick().await?;
    ///             ctx.emit(Beat { number }).await?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn interval(&self, period: Duration) -> Result<Interval, Problem> {
        self.clock().interval(period)
    }

    /// Yields to other tasks, first to tasks that wait for messages that this service has emitted.
    pub fn yield_now(&self) -> impl Future<Output = ()> + Send + use<S> + 'static {
        mycelium_executor::yield_now()
    }

    /// Returns the monotonic time since an origin that all services of the node share, also on
    /// different executors.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.waits.node.executor.now()
    }

    /// Returns the current calendar time.
    #[must_use]
    pub fn wall_clock(&self) -> SystemTime {
        self.waits.node.executor.wall_clock()
    }

    /// Returns the node's time, for child tasks.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let node = &self.waits.node;
        Clock::new(node.lifecycle.clone(), node.executor.clone(), self.waits.executor.clone())
    }

    /// Returns a random number.
    pub fn random(&mut self) -> u64 {
        self.waits.random.u64(..)
    }

    /// Runs a future as a child task, which is dropped when this run of the service ends. Dropping
    /// the returned handle discards the result, and the task continues. The watchdog watches its
    /// polls, and reports them under the name of the service.
    ///
    /// Its polls end like the service's polls: publishers and subscriptions that it uses wake the
    /// other sides once, at the end of a poll or after 64 operations, and it yields after the same
    /// number of operations as the service
    /// ([`Execution::budget`](crate::execution::Execution::budget)).
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (result, receiver) = oneshot::channel();
        let (name, live) = (self.waits.service.clone(), self.run.add());
        let task = async move {
            // Moves `live` here, so that it is dropped after the future.
            let live = live;
            let future = pin!(AssertUnwindSafe(future).catch_unwind());
            // Polls the end first, so that the future is not polled after the end of the run.
            match select(pin!(live.end_requested()), future).await {
                Either::Left(_) => {}
                // Ignores an error: the handle may have been dropped.
                Either::Right((Ok(value), _)) => drop(result.send(value)),
                Either::Right((Err(panic), _)) => {
                    let (error, place) = text_and_place(panic);
                    let place = place.unwrap_or_default();
                    let code = code_of(&error);
                    log::error!(service = &*name, error, place, %code, "a task of the service panicked");
                }
            }
        };
        let child = || Subject::Child(self.waits.service.to_string());
        let mark = self.waits.node.watchdog.get().map(|watchdog| watchdog.watch(child()));
        let mut child = ChildTask::new(TaskBudget::with_limit(self.waits.budget.limit()));
        let task = async move {
            let mut task = pin!(task);
            poll_fn(|context| {
                let _guard = mark.as_deref().map(PollMark::begin);
                child.poll(|| task.as_mut().poll(context))
            })
            .await;
        };
        // Ignores an error: an executor that has ended drops the task, and the result is
        // `Unfinished`.
        let _ = self.waits.executor.spawn(Box::pin(task));
        JoinHandle::new(receiver)
    }

    /// Runs blocking work on a thread for blocking work. Dropping the returned handle discards the
    /// result, and the work continues.
    pub fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (result, receiver) = oneshot::channel();
        let work = Box::new(move || drop(result.send(work())));
        // A refusal drops the work and the sender, as in `spawn`: the result is `Unfinished`.
        let _ = self.waits.executor.blocking(work);
        JoinHandle::new(receiver)
    }

    /// Connects to `host:port` over TCP.
    ///
    /// The returned future fails with the system's error and the address.
    pub fn connect(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Stream>> + Send + use<S> + 'static {
        let connecting = self.waits.executor.connect(address.to_owned());
        named(connecting, "connect to", address)
    }

    /// Listens at `host:port` over TCP; port 0 lets the system choose.
    ///
    /// The returned future fails with the system's error and the address.
    pub fn listen(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Listener>> + Send + use<S> + 'static {
        let (executor, address) = (self.waits.executor.clone(), address.to_owned());
        // Binds on a thread for blocking work, because the system may query a name server.
        let bound = self.blocking({
            let address = address.clone();
            move || bind_tcp(&address)
        });
        async move {
            let socket = bound.await.map_err(io::Error::other)??;
            let listening = async { executor.tcp_listener(socket) };
            named(listening, "listen at", &address).await
        }
    }

    /// Returns the actors of the node, which run on its executor. They end after its services.
    /// Needs the feature `actors`.
    ///
    /// ```
    /// use mycelium::{Context, Result, actor, service};
    ///
    /// #[derive(Default)]
    /// struct Total(u64);
    ///
    /// #[actor]
    /// impl Total {
    ///     #[tell]
    ///     fn add(&mut self, number: u64) {
    ///         self.0 += number;
    ///     }
    /// }
    ///
    /// struct Counter;
    ///
    /// #[service()]
    /// impl Counter {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut total = ctx.actors().spawn(Total::default)?;
    ///         total.tell(7).await?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    #[cfg(feature = "actors")]
    #[must_use]
    pub fn actors(&self) -> Actors {
        self.waits.node.actors.clone()
    }

    /// Shuts the node down: sources end, their messages are received, then each `recv` returns
    /// `None`.
    pub fn shutdown(&self) {
        self.waits.node.lifecycle.shut_down();
    }

    /// Returns whether the node shuts down.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.waits.node.lifecycle.shutdown.is_set()
    }

    /// Waits until the node shuts down; ready immediately if it already does.
    pub fn shutdown_requested(&self) -> impl Future<Output = ()> + Send + use<S> + 'static {
        let lifecycle = self.waits.node.lifecycle.clone();
        async move { lifecycle.shutdown.wait().await }
    }

    /// Logs an event of level INFO. Without the feature `tracing` it does nothing.
    ///
    /// The line has the names of the node and the service. While a delivery with a trace is
    /// handled, it also has the ids that [`trace`](Context::trace) returns, as `trace_id` and
    /// `span_id`, and the `sequence` of the delivery.
    pub fn info(&self, message: &str, details: impl Debug) {
        service_line!(self, info, message, details);
    }

    /// Logs an event of level WARN, as [`info`](Context::info).
    pub fn warn(&self, message: &str, details: impl Debug) {
        service_line!(self, warn, message, details);
    }

    /// Logs an event of level ERROR, as [`info`](Context::info).
    pub fn error(&self, message: &str, details: impl Debug) {
        service_line!(self, error, message, details);
    }

    /// Returns the ids of the trace of the current delivery, in hexadecimal, and the delivery's
    /// sequence.
    fn current_delivery(&self) -> Option<(String, String, u64)> {
        let task = self.waits.budget.trace()?;
        let (trace, sequence) = task.context().zip(task.sequence())?;
        let TraceContext { trace_id, span_id, .. } = trace;
        let trace_id = format!("{:032x}", u128::from_be_bytes(trace_id));
        Some((trace_id, format!("{:016x}", u64::from_be_bytes(span_id)), sequence))
    }
}

fn named<T, F: Future<Output = io::Result<T>> + Send>(
    future: F,
    what: &str,
    address: &str,
) -> impl Future<Output = io::Result<T>> + Send + use<T, F> {
    let what = format!("cannot {what} {address}");
    async move { future.await.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}"))) }
}
