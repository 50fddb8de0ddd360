//! Services, and their view of the node: the trait that `#[service]` implements, [`Context`]
//! (`environment` has its time, tasks, network and logs, `backpressure` its methods for slow
//! readers, `handlers` its methods for handlers), and [`Life`], which lasts from the first start of
//! a service to its last end. `runs` is the loop over the runs of a service: `run` polls one of
//! them, `course` decides whether another one follows, and `exit` reports the last end to the node.
//!
//! A message enters through the inputs of a `port`, and leaves through `emit`. `wiring` creates the
//! ports of a service when its node starts.

mod backpressure;
pub(crate) mod clock;
pub(crate) mod course;
pub(crate) mod emit;
mod environment;
pub(crate) mod exit;
pub(crate) mod handlers;
pub(crate) mod kept;
pub(crate) mod port;
mod run;
mod runs;
#[cfg(feature = "describe")]
pub(crate) mod stand_in;
pub(crate) mod wiring;

use std::cell::Cell;
use std::fmt::Debug;
#[cfg(feature = "topology")]
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;

use mycelium_core::message::Tail;
use mycelium_core::{Message, Request, TraceContext};
use mycelium_executor::Executor;
use mycelium_transports::local::{EmitError, KeyValue, Publisher};

use crate::error::{PublisherError, Result, SubscribeError};
use crate::inbox::Subscription;
use crate::inbox::request::{Failure, MailboxState, PendingReply, Requester, Requests};
use crate::observe::metrics::Metrics;
#[cfg(feature = "metrics")]
use crate::observe::metrics::Registered;
use crate::service::course::Course;
use crate::service::emit::Waits;
use crate::service::emit::batch::EmitBatch;
use crate::service::emit::emitter::{EmitRef, Emitter};
use crate::service::emit::reserve::Reserve;
use crate::service::emit::traced::Passing;
use crate::service::port::{
    Answers, Asks, EmitsOn, EmittedBy, HasPorts, Input, Output, Reads, ReadsOn,
};
use crate::shared::task_hooks::TaskHooks;
use crate::task::launch::Launch;
use crate::task::run_tasks::RunTasks;
pub use runs::supervise;

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
    fn launch() -> Launch<Box<Life<Self>>>;
}

/// A service's access to its node: messages, time, tasks, the network, logs.
///
/// Each service has one context, which is not `Sync`: the service is the only writer of its rings,
/// so an emit is a few stores. A child task or another thread uses its own
/// [`publisher`](Context::publisher).
pub struct Context<S: Service> {
    inputs: S::Inputs,
    outputs: S::Outputs,
    pub(crate) waits: Waits,
    /// The child tasks of the current run, which end with the run.
    run: Arc<RunTasks>,
    #[cfg(feature = "metrics")]
    metrics: Registered,
    not_sync: PhantomData<Cell<()>>,
}

impl<S: Service> Context<S> {
    pub(crate) fn new(inputs: S::Inputs, outputs: S::Outputs, waits: Waits) -> Context<S> {
        Context {
            inputs,
            outputs,
            run: Arc::default(),
            waits,
            #[cfg(feature = "metrics")]
            metrics: Registered::default(),
            not_sync: PhantomData,
        }
    }

    /// Returns the service's name in this node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.waits.service
    }

    /// Publishes a message to all subscriptions of its topic. Waits while a `block` subscription is
    /// full.
    ///
    /// Messages of one service on one topic arrive in the order of their emits. If the future is
    /// dropped before it completes, the message was not sent. In a tight loop it yields to the
    /// executor regularly.
    ///
    /// # Errors
    /// [`EmitError`] with the message: a `reject` subscription is full, or the node shuts down and
    /// the service has no subscriptions. So `ctx.emit(message).await?` ends a source at a shutdown
    /// without a failure; all messages that were sent before are delivered. To send a last message
    /// during a shutdown, keep a [`publisher`](Context::publisher).
    #[inline]
    pub fn emit<M: EmittedBy<S>>(&mut self, message: M) -> M::Emit<'_> {
        self.emitter().emit(message).into()
    }

    /// Publishes a message as [`emit`](Context::emit) does, but the caller keeps it: nothing is
    /// moved or cloned.
    ///
    /// # Errors
    /// The same as [`emit`](Context::emit), without the message.
    #[inline]
    pub fn emit_ref<'c, M: EmittedBy<S>>(&'c mut self, message: &'c M) -> EmitRef<'c, M> {
        self.emitter().emit_ref(message)
    }

    /// Reserves room for a message whose last field is a list of `len` bytes or numbers, which the
    /// service then writes in place: `Vec<u8>`, a `Vec` of other numbers, or `Bytes`. The items that
    /// `message` has in that list are left out. Waits for room as [`emit`](Context::emit) does.
    ///
    /// The list is written in the memory of the ring if nobody can read it there before it is sent;
    /// otherwise in a buffer that is used again, from which it is copied when it is sent.
    /// `docs/choosing.md` has the rules, `mycelium check` prints what follows from the policies, and
    /// [`is_in_place`](crate::emit::Reservation::is_in_place) says what happened.
    ///
    /// If the future or the reservation is dropped, nothing is sent. The reservation borrows the
    /// context: to use it meanwhile, reserve at a [`publisher`](Context::publisher) of its own.
    ///
    /// # Errors
    /// The same as [`emit`](Context::emit), with the message, whose list is empty then.
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// #[message(topic = "frames", max = "8 MiB")]
    /// struct Frame {
    ///     number: u64,
    ///     pixels: Vec<u8>,
    /// }
    ///
    /// # struct Camera;
    /// # impl Camera { async fn capture(&mut self, pixels: &mut [u8]) -> usize { 0 } }
    /// #[service(emits(Frame))]
    /// impl Camera {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         for number in 0.. {
    ///             let frame = Frame { number, pixels: Vec::new() };
    ///             let mut frame = ctx.reserve(frame, 4 << 20).await?;
    ///             let count = self.capture(frame.bytes_mut()).await;
    ///             frame.truncate(count);
    ///             frame.send()?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn reserve<M: EmittedBy<S> + Tail>(&mut self, message: M, len: usize) -> Reserve<'_, M> {
        self.emitter().reserve(message, len)
    }

    /// Returns the trace that this service's next messages get: the trace of the current delivery,
    /// with its own span if the trace is sampled. `None` if there is no current delivery, it has no
    /// trace, or its topic is not traced.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        self.waits.budget.trace()?.context()
    }

    /// Returns the named port `out` of `#[service(emits(Swap as out))]`, for emits:
    /// `ctx.on(Self::out).emit(swap).await?`. The topology or
    /// [`Builder::bind`](crate::Builder::bind) chooses the topic of the port.
    #[inline]
    pub fn on<M: Message, const PORT: usize>(&mut self, port: Output<S, M, PORT>) -> Emitter<'_, M>
    where
        S: EmitsOn<M, PORT>,
    {
        let (_, is_refused) = (port, self.is_ending());
        Emitter::new(S::publisher(&mut self.outputs), &mut self.waits, is_refused)
    }

    /// Forgets the message of a key that this service retains, on a topic with `retain = { key = ..
    /// }`: no reader that joins later gets it. `key` is a text, a number or an array of bytes, as
    /// the field. Returns whether the service retained one.
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// #[message(topic = "positions")]
    /// struct Position {
    ///     entity: u64,
    ///     x: f64,
    /// }
    ///
    /// # struct World;
    /// #[service(emits(Position))]
    /// impl World {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         ctx.emit(Position { entity: 7, x: 0.5 }).await?;
    ///         // The entity is gone.
    ///         ctx.forget::<Position>(7_u64);
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn forget<'k, M: EmittedBy<S>>(&mut self, key: impl Into<KeyValue<'k>>) -> bool {
        self.emitter::<M>().forget(key)
    }

    /// Returns the port of the topic of this type.
    #[inline]
    fn emitter<M: EmittedBy<S>>(&mut self) -> Emitter<'_, M> {
        let is_refused = self.is_ending();
        Emitter::new(M::publisher(&mut self.outputs), &mut self.waits, is_refused)
    }

    /// Publishes messages in order, as [`emit`](Context::emit) would for each of them, at a lower
    /// cost. Waits while a `block` subscription is full.
    ///
    /// If the future is dropped before it completes, exactly a prefix of the messages was sent;
    /// [`EmitBatch::sent`] is its length. No other message of this service comes in between.
    ///
    /// # Errors
    /// An error with the number of sent messages, for the same reasons as [`emit`](Context::emit).
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "readings", id = 1)]
    /// # struct Reading { value: u64 }
    /// # struct Sensor;
    /// # impl Sensor { async fn block(&mut self) -> Vec<u64> { Vec::new() } }
    /// #[service(emits(Reading))]
    /// impl Sensor {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut readings = Vec::new();
    ///         loop {
    ///             let block = self.block().await;
    ///             readings.clear();
    ///             readings.extend(block.into_iter().map(|value| Reading { value }));
    ///             ctx.emit_batch(&readings).await?;
    ///         }
    ///     }
    /// }
    /// ```
    #[inline]
    pub fn emit_batch<'c, M: EmittedBy<S>>(&'c mut self, messages: &'c [M]) -> EmitBatch<'c, M> {
        self.emitter().emit_batch(messages)
    }

    /// Emits as [`emit`](Context::emit) does, but never waits.
    ///
    /// # Errors
    /// [`EmitError`] with the message: a `block` or `reject` subscription is full, or the node
    /// shuts down, as for [`emit`](Context::emit).
    #[inline]
    pub fn try_emit<M: EmittedBy<S>>(&mut self, message: M) -> Result<(), EmitError<M>> {
        self.emitter().try_emit(message)
    }

    /// Returns whether the service should end: the node shuts down, and the service has no
    /// subscriptions to drain.
    #[inline]
    fn is_ending(&self) -> bool {
        S::IS_SOURCE && self.waits.is_shutting_down()
    }

    /// Creates another publisher of a topic to which this service emits, for a child task or
    /// another thread. Its messages keep their order among themselves, but not relative to the
    /// service's messages. It can also send during a shutdown. A child task ends with the run of
    /// the service. A thread must end by itself: messages that it sends after the readers have
    /// ended are not received.
    ///
    /// # Errors
    /// [`PublisherError`]: the topic cannot take another publisher, or the node shuts down and the
    /// service has no subscriptions.
    pub fn publisher<M: EmittedBy<S>>(&mut self) -> Result<Publisher<M>, PublisherError> {
        self.emitter().publisher()
    }

    /// Returns the publisher of a named port.
    #[cfg(feature = "topology")]
    pub(crate) fn publisher_of<M: Message, const PORT: usize>(
        &mut self,
        port: Output<S, M, PORT>,
    ) -> &mut Publisher<M>
    where
        S: EmitsOn<M, PORT>,
    {
        let _ = port;
        S::publisher(&mut self.outputs)
    }

    /// Emits as [`Emitter::emit`] does, but also during a shutdown, for a source that forwards the
    /// messages of others.
    #[cfg(feature = "topology")]
    pub(crate) async fn pass_on<M: Message, const PORT: usize>(
        &mut self,
        port: Output<S, M, PORT>,
        message: M,
    ) -> Result<(), EmitError<M>>
    where
        S: EmitsOn<M, PORT>,
    {
        let _ = port;
        let Context { outputs, waits, .. } = self;
        let publisher = S::publisher(outputs);
        waits.begin();
        poll_fn(|context| {
            let emitted = publisher.poll_emit(context, &message);
            if emitted.is_pending() {
                waits.watch_room(context, "emit", publisher.topic(), || publisher.blocked_by());
            }
            emitted
        })
        .await
    }

    /// Takes the service's subscription. It has existed since before any service ran, so it misses
    /// nothing. Dropping it returns it with its cursor.
    ///
    /// # Errors
    /// [`SubscribeError`] if it is already taken.
    pub fn subscribe<M: Message>(&mut self) -> Result<Subscription<M>, SubscribeError>
    where
        S: Reads<M>,
    {
        S::inbox(&self.inputs).take()
    }

    /// Takes a subscription as [`subscribe`](Context::subscribe) does, by a named port:
    /// `#[service(reads(Swap as left))]` and `ctx.subscribe_on(Self::left)?`. The topology or
    /// [`Builder::bind`](crate::Builder::bind) chooses the topic of the port.
    ///
    /// # Errors
    /// [`SubscribeError`] if it is already taken.
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

    /// Sends `request` to a service that answers it, in this node or in another, and waits for the
    /// reply. If the mailbox has room, the request is in it when this returns; otherwise the future
    /// waits for room.
    ///
    /// The future borrows nothing, so several requests can be open at the same time, and the
    /// service can emit meanwhile. [`PendingReply::within`] sets a deadline. Dropping the future
    /// before it is ready cancels the request. A request is never sent twice.
    ///
    /// # Errors
    /// [`RequestError`](crate::requests::RequestError), which says whether a service may have acted
    /// on the request.
    ///
    /// ```
    /// use mycelium::{Context, Node, Result, message, service};
    ///
    /// #[message(topic = "price-requests", id = 1, reply = Price)]
    /// struct PriceRequest {
    ///     pool: u64,
    /// }
    ///
    /// #[message(topic = "prices", id = 2)]
    /// struct Price {
    ///     value: u64,
    /// }
    ///
    /// struct Oracle;
    ///
    /// #[service(answers(PriceRequest))]
    /// impl Oracle {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut requests = ctx.requests::<PriceRequest>();
    ///         while let Some(request) = requests.recv().await {
    ///             request.reply_with(|request| Price { value: request.pool * 100 });
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// struct Trader;
    ///
    /// #[service(requests(PriceRequest))]
    /// impl Trader {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let price = ctx.request(PriceRequest { pool: 7 }).await?;
    ///         assert_eq!(price.value, 700);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder("main").service(|| Oracle).service(|| Trader).build()?;
    /// // The trader ends, and then the oracle: nobody requests any more.
    /// node.run(mycelium::execution::tokio::Tokio::current()?).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request<Q: Request>(&mut self, request: Q) -> PendingReply<Q>
    where
        S: Asks<Q>,
    {
        self.request_by(&request, Requester::send)
    }

    /// Makes a request of another node, which may be longer than its type allows: that node's
    /// program may have another version.
    pub(crate) fn pass_request<Q: Request>(&mut self, request: &Q) -> PendingReply<Q>
    where
        S: Asks<Q>,
    {
        self.request_by(request, |requester, request, executor| {
            requester.pass(request, executor, None)
        })
    }

    #[inline]
    fn request_by<Q: Request>(
        &mut self,
        request: &Q,
        send: impl FnOnce(&mut Requester<Q>, &Q, &Arc<dyn Executor>) -> PendingReply<Q>,
    ) -> PendingReply<Q>
    where
        S: Asks<Q>,
    {
        let is_refused = self.is_ending();
        let requester = S::requester(&mut self.outputs);
        match is_refused {
            true => requester.refuse(request, &self.waits.executor, Failure::ShuttingDown),
            false => send(requester, request, &self.waits.executor),
        }
    }

    /// Creates another requester of a request type that this service declares, for a child task or
    /// another thread.
    pub fn requester<Q: Request>(&mut self) -> Requester<Q>
    where
        S: Asks<Q>,
    {
        S::requester(&mut self.outputs).child(&self.waits.executor)
    }

    /// Returns the requests that this service answers. They wait in the mailbox of their topic from
    /// before any service runs, and while this service is restarted. Each call returns another
    /// handle to the same mailbox, so child tasks with a handle each share the work.
    ///
    /// ```
    /// # use mycelium::{Context, Result, message, service};
    /// # #[message(topic = "price-requests", id = 1, reply = Price)]
    /// # struct PriceRequest { pool: u64 }
    /// # #[message(topic = "prices", id = 2)]
    /// # struct Price { value: u64 }
    /// # struct Oracle;
    /// # async fn look_up(pool: u64) -> u64 { pool }
    /// #[service(answers(PriceRequest))]
    /// impl Oracle {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut requests = ctx.requests::<PriceRequest>();
    ///         while let Some(request) = requests.recv().await {
    ///             // Slow answers do not hold up the next request.
    ///             ctx.spawn(async move {
    ///                 let value = look_up(request.pool).await;
    ///                 request.reply(Price { value });
    ///             });
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn requests<Q: Request>(&self) -> Requests<Q>
    where
        S: Answers<Q>,
    {
        S::answering(&self.inputs).requests()
    }

    /// Sets the trace of the messages that the service sends, until the returned value is dropped.
    /// For a service that forwards the messages of others.
    pub(crate) fn pass_trace(&self, trace: Option<TraceContext>) -> Passing {
        Passing::new(&self.waits.budget, trace)
    }

    /// Returns the state of the mailbox with the requests that this service answers.
    pub(crate) fn mailbox<Q: Request>(&self) -> Arc<MailboxState>
    where
        S: Answers<Q>,
    {
        S::answering(&self.inputs).mailbox()
    }

    /// Returns the service's own counters, gauges and histograms. They are read together with the
    /// node's counters: [`Running::metrics`](crate::Running::metrics). See [`Metrics`].
    #[inline]
    pub fn metrics(&mut self) -> Metrics<'_> {
        #[cfg(feature = "metrics")]
        return Metrics {
            registered: &mut self.metrics,
            service: &self.waits.service,
            region: self.waits.node.topics.counters(),
        };
        #[cfg(not(feature = "metrics"))]
        return Metrics(PhantomData);
    }
}

impl<S: Service> Drop for Context<S> {
    fn drop(&mut self) {
        self.run.end();
    }
}

impl<S: Service> Debug for Context<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("service", &self.waits.service).finish_non_exhaustive()
    }
}

/// The state of a service's task.
pub struct Life<S: Service> {
    pub(crate) hooks: TaskHooks,
    pub(crate) supervised: Supervised<S>,
}

/// The parts of a service that supervision keeps from its first start to its end.
pub(crate) struct Supervised<S: Service> {
    pub(crate) factory: Box<dyn FnMut() -> S + Send>,
    pub(crate) context: Context<S>,
    // Dropped last: it reports the end of the service.
    pub(crate) course: Course,
}
