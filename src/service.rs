//! What a service is, and what it sees of its node: the trait that `#[service]` implements,
//! [`Context`] (`emits` has the part that emits), and [`Life`], which supervision keeps from the
//! first start to the last end.

mod emits;

use std::cell::Cell;
use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use mycelium_bundle::Restart;
use mycelium_core::Message;
use mycelium_executor::{Executor, Listener, Stream, bind_tcp};
use mycelium_transports::counters::{Line, ServiceValue};
use mycelium_transports::local::Publisher;

use crate::clock::{Clock, JoinHandle};
use crate::dead_letter::DeadLetter;
use crate::emit::Waits;
use crate::error::{Result, ShuttingDown, SubscribeError, panic_text};
use crate::exit::ExitGuard;
use crate::inbox::{AnyInbox, Subscription};
use crate::latch::Latch;
use crate::launch::Task;
use crate::log;
use crate::port::{HasPorts, Input, Reads, ReadsOn};
use crate::shared::Shared;

/// A part of a node that reads and emits messages. [`#[service]`](macro@crate::service) implements
/// it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    note = "put `#[mycelium::service(reads(..), emits(..))]` on `impl {Self} {{ async fn run(..) .. }}`"
)]
pub trait Service: HasPorts {
    /// Runs until the service has finished its work, or fails.
    fn run(&mut self, context: &mut Context<Self>) -> impl Future<Output = Result<()>>;

    #[doc(hidden)]
    fn is_send() -> bool;

    #[doc(hidden)]
    fn launch(life: Life<Self>) -> Task;
}

/// What a service sees of its node: messages, time, tasks, the network, logs.
///
/// Each service has one, and it is not `Sync`: the service is the only writer of its rings, so that
/// an emit is a few stores. A child task or another thread uses a [`publisher`](Context::publisher)
/// of its own.
pub struct Context<S: Service> {
    inputs: S::Inputs,
    outputs: S::Outputs,
    pub(crate) waits: Waits,
    /// Set when the current run ends, so that its tasks end too.
    run: Arc<Latch>,
    random: fastrand::Rng,
    publishers: usize,
    not_sync: PhantomData<Cell<()>>,
}

impl<S: Service> Context<S> {
    pub(crate) fn new(
        name: &str,
        inputs: S::Inputs,
        outputs: S::Outputs,
        shared: Arc<Shared>,
        executor: Arc<dyn Executor>,
    ) -> Context<S> {
        Context {
            inputs,
            outputs,
            run: Arc::default(),
            random: fastrand::Rng::with_seed(executor.entropy()),
            waits: Waits::new(name, shared, executor, S::IS_SOURCE),
            publishers: 0,
            not_sync: PhantomData,
        }
    }

    /// The service's name in this node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.waits.service
    }

    /// Takes the service's subscription. It has existed since before any service ran, so it misses
    /// nothing. Dropping it gives it back, with its cursor.
    ///
    /// # Errors
    /// If it is taken already.
    pub fn subscribe<M: Message>(&mut self) -> Result<Subscription<M>, SubscribeError>
    where
        S: Reads<M>,
    {
        S::inbox(&self.inputs).take()
    }

    /// As [`subscribe`](Context::subscribe), by a named port: `#[service(reads(Swap as left))]` and
    /// `ctx.subscribe_on(Self::left)?`. The topology or [`Builder::bind`](crate::Builder::bind)
    /// chooses the topic of the port.
    ///
    /// # Errors
    /// If it is taken already.
    pub fn subscribe_on<M: Message, const PORT: usize>(
        &mut self,
        port: Input<S, M, PORT>,
    ) -> Result<Subscription<M>, SubscribeError>
    where
        S: ReadsOn<M, PORT>,
    {
        let _ = port;
        S::inbox(&self.inputs).take()
    }

    /// Waits for `duration`, or until the node shuts down.
    ///
    /// # Errors
    /// [`ShuttingDown`] if the node shuts down, now or earlier. A service that returns it with `?`
    /// has ended well.
    pub fn sleep(
        &self,
        duration: Duration,
    ) -> impl Future<Output = Result<(), ShuttingDown>> + Send + use<S> + 'static {
        let clock = self.clock();
        async move { clock.sleep(duration).await }
    }

    /// Lets other tasks run, first those that wait for what this service emitted.
    pub fn yield_now(&self) -> impl Future<Output = ()> + Send + use<S> + 'static {
        mycelium_executor::yield_now()
    }

    /// Monotonic time since an origin that all services of the node share, also on different
    /// executors.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.waits.shared.executor.now()
    }

    /// The time of the calendar.
    #[must_use]
    pub fn wall_clock(&self) -> SystemTime {
        self.waits.shared.executor.wall_clock()
    }

    /// The node's time, for child tasks.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock::new(self.waits.shared.clone(), self.waits.executor.clone())
    }

    /// A random number.
    pub fn random(&mut self) -> u64 {
        self.random.u64(..)
    }

    /// Runs a future as a child task. It is dropped when this run of the service ends. Dropping the
    /// returned handle discards the result, and the task continues.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (result, receiver) = oneshot::channel();
        let (name, run) = (self.waits.service.clone(), self.run.clone());
        let task = async move {
            let future = pin!(AssertUnwindSafe(future).catch_unwind());
            match select(future, pin!(run.wait())).await {
                // The handle may have been dropped.
                Either::Left((Ok(value), _)) => drop(result.send(value)),
                Either::Left((Err(panic), _)) => {
                    let error = panic_text(&*panic);
                    log::error!(service = &*name, error, "a task of the service panicked");
                }
                Either::Right(_) => {}
            }
        };
        // If the executor has ended, it drops the task, and the result is `Unfinished`.
        let _ = self.waits.executor.spawn(Box::pin(task));
        JoinHandle::new(receiver)
    }

    /// Runs blocking work on threads that are made for it. Dropping the returned handle discards
    /// the result, and the work continues.
    pub fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (result, receiver) = oneshot::channel();
        let work = Box::new(move || drop(result.send(work())));
        // As in `spawn`, a refusal drops the work and the sender, and the result is `Unfinished`.
        let _ = self.waits.executor.blocking(work);
        JoinHandle::new(receiver)
    }

    /// Connects to `host:port` over TCP.
    ///
    /// The returned future fails with the error of the system and the address.
    pub fn connect(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Stream>> + Send + use<S> + 'static {
        let connecting = self.waits.executor.connect(address.to_owned());
        named(connecting, "connect to", address)
    }

    /// Listens at `host:port` over TCP; port 0 lets the system choose.
    ///
    /// The returned future fails with the error of the system and the address.
    pub fn listen(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Listener>> + Send + use<S> + 'static {
        let (executor, address) = (self.waits.executor.clone(), address.to_owned());
        // Not on this thread: the system may contact a name server.
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

    /// Shuts the node down: sources end, their messages are received, then each `recv` returns
    /// `None`.
    pub fn shutdown(&self) {
        self.waits.shared.lifecycle.shut_down();
    }

    /// Whether the node shuts down.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.waits.shared.lifecycle.shutdown.is_set()
    }

    /// Ready when the node shuts down, or at once if it does already.
    pub fn shutdown_requested(&self) -> impl Future<Output = ()> + Send + use<S> + 'static {
        let shared = self.waits.shared.clone();
        async move { shared.lifecycle.shutdown.wait().await }
    }

    /// Logs an event of level INFO.
    pub fn info(&self, message: &str, details: impl Debug) {
        tracing::info!(service = self.name(), ?details, "{message}");
    }

    /// Logs an event of level WARN.
    pub fn warn(&self, message: &str, details: impl Debug) {
        log::warn!(service = self.name(), ?details, "{message}");
    }

    /// Logs an event of level ERROR.
    pub fn error(&self, message: &str, details: impl Debug) {
        log::error!(service = self.name(), ?details, "{message}");
    }

    /// Ends the child tasks of the run that has ended.
    pub(crate) fn end_tasks(&mut self) {
        self.run.set();
        self.run = Arc::default();
    }
}

impl<S: Service> Drop for Context<S> {
    fn drop(&mut self) {
        self.run.set();
    }
}

impl<S: Service> Debug for Context<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("service", &self.waits.service).finish_non_exhaustive()
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

/// What supervision keeps of a service, from its first start to its end.
pub struct Life<S: Service> {
    pub(crate) factory: Box<dyn FnMut() -> S + Send>,
    pub(crate) context: Context<S>,
    pub(crate) inboxes: Vec<Arc<dyn AnyInbox>>,
    /// `None` if the service reads nothing that could become a dead letter.
    pub(crate) dead_letters: Option<Publisher<DeadLetter>>,
    pub(crate) restart: Restart,
    pub(crate) line: Line<ServiceValue>,
    /// Dropped last: when the node learns of the end of the service, all else is gone.
    pub(crate) exit: ExitGuard,
}
