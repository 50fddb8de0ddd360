//! What a service is, and what it sees of its node: the traits that `#[service]` implements, [`Context`], and [`Life`], which
//! supervision keeps from the first start to the last end.

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
use crate::plan::Ports;
use crate::shared::Shared;
use crate::stall::StallWatch;
use crate::wiring::Wiring;

/// Something that runs in a node, reads messages and emits messages. Implemented by
/// [`#[service]`](macro@crate::service).
pub trait Service: Sized + 'static {
    /// What it is called in topologies, logs and counters: the type's name.
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

    /// Runs until the service has nothing more to do, or fails.
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

/// A publisher of whatever messages.
pub trait AnyPublisher {
    /// See [`Publisher::poll_confirmed`].
    fn poll_confirmed(&mut self, context: &task::Context<'_>) -> Poll<()>;
    /// The name of its topic, and how many messages are not confirmed.
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

/// The way from a service to everything else: messages, time, tasks, the network, logs.
///
/// There is one for each service, and it is not `Sync`: the service is the only writer of its topics, which is what
/// makes an emit a few stores. A child task or another thread gets a [`publisher`](Context::publisher) of its own.
pub struct Context<S: Service> {
    inputs: S::Inputs,
    outputs: S::Outputs,
    name: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    /// That of the thread where the service runs.
    pub(crate) executor: Arc<dyn Executor>,
    /// Set when the present run ends: its tasks end with it.
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

    /// Emits a message to all subscriptions of its topic; waits while a `block` subscription is full.
    ///
    /// Messages of one service on one topic arrive in the order of their emits. Cancelling: dropped before it
    /// completes, the message was not sent. In a tight loop it yields to the executor now and then.
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
        // The error is large: what goes well does not come this way.
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
                    tracing::warn!(service = &**name, topic = M::TOPIC, reader, "emit waits");
                });
            }
            poll
        })
        .await
    }

    /// As [`emit`](Context::emit), but never waits.
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

    /// Waits until every gating reader, here and in other nodes, is done with all that this service has emitted, or has
    /// left for good. A process that has written down its own state and position before that, and is killed, loses nothing:
    /// what it had emitted was confirmed, and what it had read comes again.
    ///
    /// Cancelling loses nothing. It waits as long as a reader is away or works at a message; if that is longer than a
    /// second, it is reported in the log, as a waiting [`emit`](Context::emit) is.
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
    ///             // The order is in hand until the next receive: it comes again if the process dies before.
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
                tracing::warn!(service = &**name, topic, messages, "waits for confirmation");
            });
            Poll::Pending
        })
        .await;
    }

    /// How many of this service's messages the slowest gating reader is not done with. Those that are on their way to
    /// readers in other nodes, or lie there, are among them until they are confirmed.
    pub fn queue_depth<M: Message>(&mut self) -> usize
    where
        S: Emits<M>,
    {
        S::publisher(&mut self.outputs).depth()
    }

    /// Another publisher of a topic that this service emits to, for a child task or another thread. Its messages are
    /// ordered among themselves, not with those of the service.
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

    /// Takes the service's subscription, which has existed since before any service ran: nothing was missed. Dropping
    /// it gives it back with its cursor.
    ///
    /// # Errors
    /// If it is out already.
    pub fn subscribe<M: Message>(&mut self) -> Result<Subscription<M>, SubscribeError>
    where
        S: Reads<M>,
    {
        S::inbox(&self.inputs).take()
    }

    /// Waits so long, or until the node shuts down.
    ///
    /// # Errors
    /// [`ShuttingDown`] if it does, or did already. With `?`, it ends the service well.
    pub fn sleep(
        &self,
        duration: Duration,
    ) -> impl Future<Output = Result<(), ShuttingDown>> + Send + use<S> + 'static {
        let clock = self.clock();
        async move { clock.sleep(duration).await }
    }

    /// Lets other tasks run, those that wait for what this service emitted first of all.
    pub fn yield_now(&self) -> impl Future<Output = ()> + Send + use<S> + 'static {
        mycelium_executor::yield_now()
    }

    /// Monotonic time since an origin that is the same for all services of the node, whatever executors they run on.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.executor.now()
    }

    /// The calendar time.
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

    /// Runs a future beside the service. It is dropped when this run of the service ends; dropping the returned handle
    /// only forgets its result.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (result, receiver) = oneshot::channel();
        let (name, run) = (self.name.clone(), self.run.clone());
        let task = async move {
            let future = pin!(AssertUnwindSafe(future).catch_unwind());
            match select(future, pin!(run.wait())).await {
                // Nobody may be interested any more.
                Either::Left((Ok(value), _)) => drop(result.send(value)),
                Either::Left((Err(_), _)) => {
                    tracing::error!(service = &*name, "a task of the service panicked");
                }
                Either::Right(_) => {}
            }
        };
        // An executor that has ended drops the task, and the result is `Unfinished`.
        let _ = self.executor.spawn(Box::pin(task));
        JoinHandle::new(receiver)
    }

    /// Runs work that blocks on threads made for it. Dropping the returned handle only forgets its result.
    pub fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let (result, receiver) = oneshot::channel();
        let work = Box::new(move || drop(result.send(work())));
        // As in `spawn`: a refusal drops the work, and with it the sender.
        let _ = self.executor.blocking(work);
        JoinHandle::new(receiver)
    }

    /// Connects to `host:port` over TCP.
    ///
    /// The returned future is `Err` as the system says, with the address.
    pub fn connect(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Stream>> + Send + use<S> + 'static {
        let connecting = self.executor.connect(address.to_owned());
        named(connecting, "connect to", address)
    }

    /// Listens at `host:port` over TCP; port 0 lets the system choose.
    ///
    /// The returned future is `Err` as the system says, with the address.
    pub fn listen(
        &self,
        address: &str,
    ) -> impl Future<Output = io::Result<Listener>> + Send + use<S> + 'static {
        let (executor, address) = (self.executor.clone(), address.to_owned());
        async move { executor.tcp_listener(bind_tcp(&address)?) }
    }

    /// Asks the node to shut down: sources end, what they sent is received, then `recv` yields `None` everywhere.
    pub fn shutdown(&self) {
        self.shared.lifecycle.shut_down();
    }

    /// Whether the node shuts down.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.shared.lifecycle.shutdown.is_set()
    }

    /// Ready once the node shuts down; at once if it does already.
    pub fn shutdown_requested(&self) -> impl Future<Output = ()> + Send + use<S> + 'static {
        let shared = self.shared.clone();
        async move { shared.lifecycle.shutdown.wait().await }
    }

    /// Logs that something went as it should.
    pub fn info(&self, message: &str, details: impl Debug) {
        tracing::info!(service = self.name(), ?details, "{message}");
    }

    /// Logs that something needs a look.
    pub fn warn(&self, message: &str, details: impl Debug) {
        tracing::warn!(service = self.name(), ?details, "{message}");
    }

    /// Logs that something went wrong.
    pub fn error(&self, message: &str, details: impl Debug) {
        tracing::error!(service = self.name(), ?details, "{message}");
    }

    /// Ends the tasks of the run that is over; the next run's tasks are its own.
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

/// All that a service needs from its first start to its last end.
pub struct Life<S: Service> {
    pub(crate) factory: Box<dyn FnMut() -> S + Send>,
    pub(crate) context: Context<S>,
    pub(crate) inboxes: Vec<Arc<dyn AnyInbox>>,
    /// `None` if nothing is read that could become one.
    pub(crate) dead_letters: Option<Publisher<DeadLetter>>,
    pub(crate) restart: Restart,
    pub(crate) line: Line<ServiceValue>,
    /// Dropped last: when the node learns of the end of the service, all else is gone.
    pub(crate) exit: ExitGuard,
}
