//! What a service is, and what it sees of its node: the traits that `#[service]` implements,
//! [`Context`], and [`Life`], which supervision keeps from the first start to the last end.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, SystemTime};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use mycelium_bundle::Restart;
use mycelium_core::Message;
use mycelium_executor::{Executor, Listener, SendFuture, Stream, bind_tcp};
use mycelium_transports::counters::{Line, ServiceValue};
use mycelium_transports::local::{EmitError, Publisher};

use crate::clock::{Clock, JoinHandle};
use crate::dead_letter::DeadLetter;
use crate::error::{BuildError, Result, ShuttingDown, SubscribeError};
use crate::exit::ExitGuard;
use crate::inbox::{AnyInbox, Inbox, Subscription};
use crate::latch::Latch;
use crate::launch::Task;
use crate::log;
use crate::plan::Ports;
use crate::shared::Shared;
use crate::stall::StallWatch;
use crate::wiring::Wiring;

/// A part of a node that reads and emits messages. [`#[service]`](macro@crate::service) implements
/// it.
pub trait Service: Sized + 'static {
    /// Its name in topologies, logs and counters: the type's name.
    const NAME: &'static str;
    /// Its subscriptions.
    #[doc(hidden)]
    type Inputs: Send + 'static;
    /// Its publishers.
    #[doc(hidden)]
    type Outputs: Send + 'static;

    #[doc(hidden)]
    fn ports() -> Ports;

    #[doc(hidden)]
    fn wire(wiring: &mut Wiring<'_>) -> Result<(Self::Inputs, Self::Outputs), BuildError>;

    #[doc(hidden)]
    fn each_output(outputs: &mut Self::Outputs, visit: &mut dyn FnMut(&mut dyn AnyPublisher));

    /// Runs until the service has finished its work, or fails.
    fn run(&mut self, context: &mut Context<Self>) -> impl Future<Output = Result<()>>;

    #[doc(hidden)]
    fn is_send() -> bool;

    #[doc(hidden)]
    fn launch(life: Life<Self>) -> Task;
}

/// The service declares that it reads `M`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it reads `{M}`",
    note = "declare it: `#[service(reads({M}), ..)]`"
)]
pub trait Reads<M: Message>: Service {
    #[doc(hidden)]
    fn inbox(inputs: &Self::Inputs) -> &Inbox<M>;
}

/// The service declares that it emits `M`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it emits `{M}`",
    note = "declare it: `#[service(emits({M}), ..)]`"
)]
pub trait Emits<M: Message>: Service {
    #[doc(hidden)]
    fn publisher(outputs: &mut Self::Outputs) -> &mut Publisher<M>;
}

/// A publisher of any message type.
pub trait AnyPublisher {
    /// See [`Publisher::poll_confirmed`].
    fn poll_confirmed(&mut self, context: &task::Context<'_>) -> Poll<()>;
    /// The name of its topic, and the number of messages that are not confirmed.
    fn unconfirmed(&self) -> (&'static str, usize);
}

impl<M: Message> AnyPublisher for Publisher<M> {
    fn poll_confirmed(&mut self, context: &task::Context<'_>) -> Poll<()> {
        Publisher::poll_confirmed(self, context)
    }

    fn unconfirmed(&self) -> (&'static str, usize) {
        (M::TOPIC, self.depth())
    }
}

/// What a service sees of its node: messages, time, tasks, the network, logs.
///
/// Each service has one, and it is not `Sync`: the service is the only writer of its rings, so that
/// an emit is a few stores. A child task or another thread uses a [`publisher`](Context::publisher)
/// of its own.
pub struct Context<S: Service> {
    inputs: S::Inputs,
    outputs: S::Outputs,
    name: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    /// The executor of the thread where the service runs.
    pub(crate) executor: Arc<dyn Executor>,
    /// Set when the current run ends, so that its tasks end too.
    run: Arc<Latch>,
    random: fastrand::Rng,
    stall: StallWatch,
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
            name: name.into(),
            inputs,
            outputs,
            run: Arc::default(),
            random: fastrand::Rng::with_seed(executor.entropy()),
            stall: StallWatch::default(),
            publishers: 0,
            shared,
            executor,
            not_sync: PhantomData,
        }
    }

    /// The service's name in this node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Publishes a message to all subscriptions of its topic. Waits while a `block` subscription is
    /// full.
    ///
    /// Messages of one service on one topic arrive in the order of their emits. If the future is
    /// dropped before it completes, the message was not sent. In a tight loop it yields to the
    /// executor from time to time.
    ///
    /// # Errors
    /// With the message, if a `reject` subscription is full.
    #[inline]
    pub async fn emit<M: Message>(&mut self, message: M) -> Result<(), EmitError<M>>
    where
        S: Emits<M>,
    {
        let Context { name, outputs, stall, executor, .. } = self;
        let publisher = S::publisher(outputs);
        // The fast path returns no error, because the error type is large.
        if poll_fn(|context| publisher.poll_try_emit(context, &message)).await {
            return Ok(());
        }
        let mut waiting_since = None;
        poll_fn(|context| {
            let poll = publisher.poll_emit(context, &message);
            if poll.is_pending() {
                stall.watch(context, &**executor, &mut waiting_since, || {
                    let by = publisher.blocked_by();
                    let reader = by.as_deref().unwrap_or("?");
                    log::warn!(
                        service = &**name,
                        topic = M::TOPIC,
                        reader,
                        "the service waits in `emit` for room: this reader has not taken its messages"
                    );
                });
            }
            poll
        })
        .await
    }

    /// Like [`emit`](Context::emit), but never waits.
    ///
    /// # Errors
    /// With the message, if a `block` or `reject` subscription is full.
    #[inline]
    pub fn try_emit<M: Message>(&mut self, message: M) -> Result<(), EmitError<M>>
    where
        S: Emits<M>,
    {
        S::publisher(&mut self.outputs).try_emit(message)
    }

    /// Waits until every gating reader, in this node and in others, has finished with all messages
    /// that this service has emitted, or has ended permanently. A service that then saves its state
    /// and position, before its next receive, loses nothing if its process is killed: its emitted
    /// messages are confirmed, and the message that it works on is redelivered.
    ///
    /// Dropping the future loses nothing. It waits while a reader is disconnected or works on a
    /// message. A wait of more than a second is logged, like that of an [`emit`](Context::emit).
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "orders", id = 1)]
    /// # struct Order { id: u64 }
    /// # #[message(topic = "trades", id = 2)]
    /// # struct Trade { id: u64 }
    /// # struct Exchange;
    /// # impl Exchange { fn write_down(&mut self, _: u64) {} }
    /// #[service(reads(Order), emits(Trade))]
    /// impl Exchange {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut orders = ctx.subscribe::<Order>()?;
    ///         while let Some(delivery) = orders.recv().await {
    ///             let Some(order) = delivery.message() else { continue };
    ///             ctx.emit(Trade { id: order.id }).await?;
    ///             // The order is in flight until the next receive.
    ///             ctx.confirmed().await;
    ///             self.write_down(order.id);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub async fn confirmed(&mut self) {
        let Context { name, outputs, stall, executor, .. } = self;
        let mut waiting_since = None;
        poll_fn(|context| {
            let mut open = None;
            S::each_output(outputs, &mut |publisher| {
                if publisher.poll_confirmed(context).is_pending() {
                    open = Some(publisher.unconfirmed());
                }
            });
            let Some((topic, messages)) = open else { return Poll::Ready(()) };
            stall.watch(context, &**executor, &mut waiting_since, || {
                log::warn!(
                    service = &**name,
                    topic,
                    messages,
                    "the service waits in `confirmed` until readers have finished its messages"
                );
            });
            Poll::Pending
        })
        .await;
    }

    /// The number of this service's messages that the slowest gating reader has not finished with.
    /// Messages for readers in other nodes count until they are confirmed.
    pub fn queue_depth<M: Message>(&mut self) -> usize
    where
        S: Emits<M>,
    {
        S::publisher(&mut self.outputs).depth()
    }

    /// Another publisher of a topic that this service emits to, for a child task or another thread.
    /// Its messages keep their order among themselves, but not with those of the service.
    ///
    /// # Errors
    /// If the topic cannot take another publisher.
    pub fn publisher<M: Message>(&mut self) -> Result<Publisher<M>, BuildError>
    where
        S: Emits<M>,
    {
        self.publishers += 1;
        self.shared.topics.outside_publisher(&format!("{}+{}", self.name, self.publishers))
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
        self.shared.executor.now()
    }

    /// The time of the calendar.
    #[must_use]
    pub fn wall_clock(&self) -> SystemTime {
        self.shared.executor.wall_clock()
    }

    /// The node's time, for child tasks.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock::new(self.shared.clone(), self.executor.clone())
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
        let (name, run) = (self.name.clone(), self.run.clone());
        let task = async move {
            let future = pin!(AssertUnwindSafe(future).catch_unwind());
            match select(future, pin!(run.wait())).await {
                // The handle may have been dropped.
                Either::Left((Ok(value), _)) => drop(result.send(value)),
                Either::Left((Err(_), _)) => {
                    log::error!(service = &*name, "a task of the service panicked");
                }
                Either::Right(_) => {}
            }
        };
        // If the executor has ended, it drops the task, and the result is `Unfinished`.
        let _ = self.executor.spawn(Box::pin(task));
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
        let _ = self.executor.blocking(work);
        JoinHandle::new(receiver)
    }

    /// Connects to `host:port` over TCP.
    ///
    /// The returned future fails with the error of the system and the address.
    pub fn connect(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Stream>> + Send + use<S> + 'static {
        let connecting = self.executor.connect(address.to_owned());
        named(connecting, "connect to", address)
    }

    /// Listens at `host:port` over TCP; port 0 lets the system choose.
    ///
    /// The returned future fails with the error of the system and the address.
    pub fn listen(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Listener>> + Send + use<S> + 'static {
        let (executor, address) = (self.executor.clone(), address.to_owned());
        async move { executor.tcp_listener(bind_tcp(&address)?) }
    }

    /// Shuts the node down: sources end, their messages are received, then each `recv` returns
    /// `None`.
    pub fn shutdown(&self) {
        self.shared.lifecycle.shut_down();
    }

    /// Whether the node shuts down.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.shared.lifecycle.shutdown.is_set()
    }

    /// Ready when the node shuts down, or at once if it does already.
    pub fn shutdown_requested(&self) -> impl Future<Output = ()> + Send + use<S> + 'static {
        let shared = self.shared.clone();
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
        f.debug_struct("Context").field("service", &self.name).finish_non_exhaustive()
    }
}

fn named<T: Send + 'static>(
    future: SendFuture<io::Result<T>>,
    what: &str,
    address: &str,
) -> impl Future<Output = io::Result<T>> + Send + use<T> + 'static {
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
