//! Mycelium: one service source, any executor, any transport.
//!
//! A **service** is a struct with an `async fn run` that reads and emits typed **messages**. A
//! **node** makes services from factories, connects what they declare, supervises them, and shuts
//! them down. The caller chooses the executor. By default nothing is lost.
//!
//! Find your task:
//!
//! | you want to | section |
//! | --- | --- |
//! | define a message, write a service, start it | [Write a service](#write-a-service) |
//! | decide what a slow reader means | [Choose a policy](#choose-a-policy) |
//! | use several processes | [Place services in processes](#place-services-in-processes) |
//! | use threads, cores, another runtime | [Place services on threads](#place-services-on-threads) |
//! | keep state that others tell and ask | [Use actors](#use-actors) |
//! | test a service | [Test a service](#test-a-service) |
//! | fail, restart, keep state | [Handle errors and restarts](#handle-errors-and-restarts) |
//! | end a program | [Shut down](#shut-down) |
//! | see logs, events and counters | [See what happens](#see-what-happens) |
//! | leave out what you do not use | [Switch features off](#switch-features-off) |
//! | understand an error | `docs/mistakes.md`: likely mistakes, and what to write instead |
//!
//! # Write a service
//!
//! ```
//! use mycelium::{Context, Delivery, Node, Result, message, service};
//!
//! #[message(topic = "ticks", id = 1)]
//! struct Tick {
//!     price: u64,
//! }
//!
//! struct Feed;
//!
//! #[service(emits(Tick))]
//! impl Feed {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         for price in 1..=100 {
//!             ctx.emit(Tick { price }).await?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! struct Sum(std::sync::mpsc::Sender<u64>);
//!
//! #[service(reads(Tick))]
//! impl Sum {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         let mut ticks = ctx.subscribe::<Tick>()?;
//!         let mut sum = 0;
//!         while let Some(delivery) = ticks.recv().await {
//!             match delivery {
//!                 Delivery::Msg(tick) => sum += tick.price,
//!                 Delivery::Gap(gap) => ctx.warn("missed ticks", gap),
//!             }
//!         }
//!         self.0.send(sum)?;
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let (result, sum) = std::sync::mpsc::channel();
//! let node = Node::builder("main")
//!     .service(|| Feed)
//!     .service(move || Sum(result.clone()))
//!     .build()?;
//! node.run(mycelium_tokio::Tokio::current()?).await?;
//! assert_eq!(sum.recv()?, 5050);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`#[message]`](macro@message) makes a struct of numbers, arrays, [`FixedStr`] and [`FixedVec`]
//!   a [`Message`]: it has a topic, and an id that no other message has.
//! - [`#[service]`](macro@service) makes a type a [`Service`]. What it lists in `reads(..)` and
//!   `emits(..)` can be used in `run` ([`Reads`], [`EmittedBy`]), and nothing else.
//! - `reads(Tick as left, Tick as right)` names **ports**: one message type on several topics. The
//!   topology or [`Builder::bind`] binds each port to a topic; [`Context::subscribe_on`] takes an
//!   [`Input`] such as `Self::left`, [`Context::emit_on`] an [`Output`] ([`ReadsOn`], [`EmitsOn`],
//!   [`HasPorts`]).
//! - [`Context`] is what a service sees: [`emit`](Context::emit) (an [`Emit`] to await, or with a
//!   deadline an [`EmitWithin`]), [`emit_batch`](Context::emit_batch) (an [`EmitBatch`]),
//!   [`subscribe`](Context::subscribe), [`sleep`](Context::sleep),
//!   [`interval`](Context::interval) (an [`Interval`]), [`spawn`](Context::spawn) (a
//!   [`JoinHandle`]), [`connect`](Context::connect) and [`listen`](Context::listen) (a [`Stream`],
//!   a [`Listener`]), the time of the node (a [`Clock`] for child tasks).
//! - [`Subscription::recv`] returns a [`Delivery`]: a message ([`Received`]), or a [`Gap`] with its
//!   [`GapReason`] and the number of missed messages. [`Subscription::recv_many`] returns
//!   many at once, [`Subscription::try_recv`] does not wait
//!   ([`TryRecv`]).
//! - `#[message(.., reply = Price)]` makes a message a [`Request`]. [`Context::request`] returns a
//!   [`PendingReply`], [`Context::requests`] the [`Requests`] of a service that answers, each an
//!   [`Asked`] ([`Asks`], [`Answers`], [`Requester`]); in one node or between two.
//! - [`Node::builder`] collects factories in a [`Builder`]. [`Builder::build`] checks that they fit
//!   together, before anything runs. [`Node::run`] runs them until they have ended;
//!   [`Node::start`] returns a [`Running`] at once.
//!
//! # Choose a policy
//!
//! A [`Policy`] says what happens when a subscription is slower than a publisher. It is set for
//! each subscription in the topology:
//!
//! ```toml
//! [subscription."Sum.ticks"]
//! policy = "drop-oldest"    # or "block" (the default), "reject", "drop-newest", "latest", "sample(1/10)"
//! ```
//!
//! With `block` an [`emit`](Context::emit) waits; with `reject` it returns an [`EmitError`] with
//! the message and a [`Refusal`]; the others never make a publisher wait, and their reader gets a
//! [`Gap`]. `docs/choosing.md` has a table, `docs/guarantees.md` the exact rules.
//!
//! # Call handlers directly
//!
//! Where a queue is too slow, [`routes!`] makes a struct of [`Handler`]s (or [`AsyncHandler`]s)
//! that are called in the listed order; what they emit goes on to the bus by an [`Out`].
//! [`Context::handle`] calls a handler for each message of a subscription, so the same struct can
//! be a service. [`Builder::fast_handler`] adds a function that each message of a topic passes
//! before it is sent, and that may refuse it ([`Refusal::FastHandler`], [`HandlerFailure`]).
//!
//! ```
//! use mycelium::{Handler, Out, Result, routes};
//!
//! struct Tick {
//!     price: u64,
//! }
//!
//! struct Strategy {
//!     last: u64,
//! }
//!
//! impl Handler<Tick> for Strategy {
//!     fn handle(&mut self, tick: &Tick, _: &mut Out<'_>) -> Result<()> {
//!         self.last = tick.price;
//!         Ok(())
//!     }
//! }
//!
//! routes! {
//!     Fast: { Tick => [Strategy] }
//! }
//!
//! let mut fast = Fast::new(Strategy { last: 0 });
//! fast.route(&Tick { price: 7 })?;
//! assert_eq!(fast.strategy().last, 7);
//! # Ok::<(), mycelium::Error>(())
//! ```
//!
//! # Place services in processes
//!
//! A [`Topology`] file names the nodes and the services of each. Each process builds the same
//! services and runs one node, by its name. Topics between them are carried over links.
//!
//! ```
//! # use mycelium::{Node, Topology};
//! let topology = Topology::parse("app.toml", "node.feed.services = []\nnode.store.services = []")?;
//! let node = Node::builder("store").topology(topology).build()?;
//! assert_eq!(node.name(), "store");
//! # Ok::<(), mycelium::BuildError>(())
//! ```
//!
//! A name that does not exist, or a wrong value, is a [`TopologyError`] with file, line and
//! [`Problem`]. [`Running::ready`] waits until the nodes have met. Nodes whose messages have
//! different layouts do not exchange them ([`LayoutMismatch`], [`Difference`]). Crate
//! `mycelium-bundle` starts all nodes by one command; [`end_with_launcher`] ends a process with its
//! launcher, and [`private_directory`] is where sockets lie. `docs/topology.md` has all keys.
//!
//! # Place services on threads
//!
//! [`Builder::execution`] gives a service an [`Execution`]: a thread, cores, a scheduling
//! [`Class`], a [`WaitStrategy`]. The topology can do the same. [`Builder::executor`] adds another
//! runtime. [`Running::start_report`] has what the system granted ([`Placement`]);
//! [`PlacementFallback`] says whether a refusal is an error ([`ThreadError`]).
//!
//! # Use actors
//!
//! An **actor** is state with a bounded mailbox of its own. It is spawned and stopped while the
//! program runs, and restarted when it fails; its references and its mailbox survive that.
//!
//! ```
//! use mycelium::{Actors, Result, actor, message};
//!
//! #[message(topic = "sum-requests", id = 1, reply = Sum)]
//! struct GetSum {
//!     since: u64,
//! }
//!
//! #[message(topic = "sums", id = 2)]
//! struct Sum {
//!     value: u64,
//! }
//!
//! #[derive(Default)]
//! struct Adder {
//!     sum: u64,
//! }
//!
//! #[actor]
//! impl Adder {
//!     #[tell]
//!     fn add(&mut self, number: u64) {
//!         self.sum += number;
//!     }
//!
//!     #[ask]
//!     fn sum(&mut self, request: GetSum) -> Sum {
//!         Sum { value: self.sum - request.since }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let actors = Actors::on(mycelium_tokio::Tokio::current()?);
//! let mut adder = actors.spawn(Adder::default)?;
//! adder.tell(7).await?;
//! assert_eq!(adder.ask(GetSum { since: 0 }).await?.value, 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`#[actor]`](macro@actor) makes a type an [`Actor`]: methods with `#[tell]` get messages
//!   ([`Handles`]), those with `#[ask]` get [`Request`]s ([`Replies`]).
//! - [`Actors`] spawns and finds them: [`Actors::on`] an executor, or those of the node
//!   ([`Context::actors`], [`Running::actors`]). An [`ActorBuilder`] sets the name, the queue of
//!   the mailbox ([`channel`]), its capacity, and what happens when it is full ([`WhenFull`]).
//! - An [`ActorRef`] tells ([`TellError`]) and asks ([`PendingReply`], [`RequestError`]); a
//!   [`WeakRef`] does not keep the actor. [`ActorEnd`] says how an actor has ended.
//! - A [`RemoteRef`] is for an actor of another node ([`Actors::remote`], [`RemoteReply`]).
//!   [`RemoteActorError`] says why there is none, [`Mismatch`] why the actor cannot answer.
//! - An [`ActorContext`] has timers ([`Timer`]), children, and the ends of others ([`Gone`]);
//!   [`Asking`] is a request of an actor. [`OnError`] says what an error means. [`DeadMail`] is a
//!   message that no handler gets. [`SpawnActorError`] and [`FindActorError`] name the others.
//! - [`Keyed`] has an actor for each key ([`Actors::keyed`], [`KeyedBuilder`], [`KeyedTellError`]):
//!   made on first use, passivated when idle, placed by the key.
//!
//! `docs/actors.md` is the guide; `docs/coming-from.md` is for those who know kameo, ractor, actix
//! or Erlang/OTP.
//!
//! # Test a service
//!
//! `mycelium::testing::ServiceTest` (feature `testing`) runs one service in an ordinary `#[test]`:
//! without an executor, and with time that only the test moves.
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use mycelium::testing::ServiceTest;
//! use mycelium::{Context, Result, message, service};
//!
//! #[message(topic = "numbers", id = 1)]
//! struct Number {
//!     value: u64,
//! }
//!
//! #[message(topic = "squares", id = 2)]
//! struct Square {
//!     value: u64,
//! }
//!
//! struct Squares;
//!
//! #[service(reads(Number), emits(Square))]
//! impl Squares {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         let mut numbers = ctx.subscribe::<Number>()?;
//!         while let Some(delivery) = numbers.recv().await {
//!             let Some(number) = delivery.message() else { continue };
//!             ctx.emit(Square { value: number.value * number.value }).await?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut test = ServiceTest::new(|| Squares);
//! test.send(Number { value: 7 });
//! assert_eq!(test.receive::<Square>().map(|square| square.value), Some(49));
//! test.finish()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `docs/testing-your-services.md` has more: several services, ports, errors, paused time. Actors have
//! `mycelium::testing::TestActor`.
//!
//! # Handle errors and restarts
//!
//! `run` returns a [`Result`]; `?` makes an [`Error`] of every error type. After an error the same
//! instance runs again, after a panic a new one from the factory, with growing pauses
//! ([`Restart`]). [`Error::permanent`] ends the node at once. State that outlives a panic is in a
//! [`Kept`].
//!
//! A [`Supervisor`] restarts services together, by its [`Strategy`] and within its own limit;
//! [`Builder::lifetime`] says whether a service is restarted at all ([`Lifetime`]),
//! [`Builder::start_deadline`] how long a run may take until it has started. `docs/supervision.md`
//! has the rules.
//!
//! A message that was in flight when its service failed is delivered once more, and
//! [`Received::redelivered`] says so. If the service fails again, it becomes a [`DeadLetter`],
//! which a service can read like any other message.
//!
//! | error | of |
//! | --- | --- |
//! | [`TopologyError`] | reading a topology |
//! | [`BuildError`] | [`Builder::build`]: services that do not fit together |
//! | [`SupervisorProblem`] | [`Builder::build`]: supervisors that do not fit together |
//! | [`NameError`] | a text that does not name a [`Strategy`] or [`Lifetime`] |
//! | [`StartError`] | [`Node::start`], [`Node::run`], [`Running::join`] |
//! | [`SubscribeError`] | [`Context::subscribe`], [`Running::subscribe`] |
//! | [`EmitError`] | [`Context::emit`], [`Publisher::emit`] |
//! | [`BatchError`] | [`Context::emit_batch`], [`Publisher::emit_batch`] |
//! | [`RequestError`] | [`Context::request`]; it says whether the request was [`Taken`] |
//! | [`OutError`] | [`Out::emit`], [`Out::try_emit`] |
//! | [`PublisherError`] | [`Context::publisher`] |
//! | [`ShuttingDown`] | [`Context::sleep`], when the node shuts down |
//! | [`ZeroPeriod`] | [`Context::interval`] |
//! | [`MetricError`] | [`Context::metrics`] |
//! | [`Unfinished`] | a [`JoinHandle`] whose work panicked or was dropped |
//!
//! # Shut down
//!
//! [`Node::run`] shuts down at SIGINT (Ctrl-C) or SIGTERM; [`Context::shutdown`] and
//! [`Running::shutdown`] do the same. Sources end first: [`Context::sleep`], and the
//! [`emit`](Context::emit) of a service that reads nothing, fail with [`ShuttingDown`], and `?`
//! ends the service well. So `loop { ctx.emit(..).await? }` is a source that ends. What it emitted
//! is received; then each [`recv`](Subscription::recv) returns `None`. Services that have not ended
//! at the deadline are abandoned and named. [`Builder::on_stop`] adds a hook for the very end.
//!
//! # See what happens
//!
//! - **Logs**: [`Context::info`], [`Context::warn`] and [`Context::error`], and the events of the
//!   node, go to the `tracing` subscriber of the program. Without one, warnings and errors are
//!   printed to the standard error. `mycelium::init()` (feature `logs`) prints more, as `RUST_LOG`
//!   says.
//! - **Probable mistakes**: a topic without a reader, a service in no node and the like are
//!   [`StartWarning`]s of the [`StartReport`].
//! - **Events**: [`Builder::observe`] calls a function with each [`Event`]: a start, a restart, a
//!   stop, a poll that takes too long ([`Builder::watchdog`]).
//! - **Counters**: [`Running::counters`] has what was sent, taken, dropped and left, for each
//!   publisher and subscription ([`counters`]).
//! - **Metrics**: [`Context::metrics`] makes a [`Counter`], a [`Gauge`] or a [`Histogram`] of a
//!   service's own ([`Metrics`]), which [`Running::metrics`] reads.
//! - **Health**: [`Running::health`] says how the node and each service is ([`Health`]).
//! - **Prometheus**: with the feature `prometheus` a node serves its metrics, and its health as
//!   `/live` and `/ready`; with `otlp` it pushes them to an OpenTelemetry collector.
//!   `docs/observability.md` has this and more.
//! - **Traces**: [`Builder::traces`] has the spans of messages on their way through services and
//!   nodes; with the feature `otlp` they go to an OpenTelemetry collector.
//! - **The end**: the [`Report`] of a node has a [`ServiceReport`] with its [`Outcome`] for each
//!   service.
//!
//! # Switch features off
//!
//! | feature | on by default | without it |
//! | --- | --- | --- |
//! | `metrics` | yes | nothing is counted: [`Running::counters`] is empty, and [`Context::metrics`] compiles to nothing. Gaps, dead letters and the [`Report`] of services are the same |
//! | `tracing` | yes | no crate `tracing`: warnings and errors go to the standard error, and other log lines nowhere |
//! | `topology` | yes | no TOML parser, no `Topology`: one node, with what the [`Builder`] sets |
//! | `signals` | yes | no `Node::run`: [`Node::start`] starts a node that [`Running::shutdown`] ends |
//! | `logs` | no | no `mycelium::init`; with it, also `tracing` |
//! | `testing` | no | no `testing::ServiceTest`, no `testing::TestActor` |
//! | `prometheus` | no | no endpoint with `/metrics`, `/live` and `/ready` |
//! | `facade` | no | no metrics for the recorder of the crate `metrics` |
//! | `otlp` | no | no traces and metrics for an OpenTelemetry collector |
//!
//! `default-features = false` switches all of them off; a program that uses one names it.
//!
//! # Without a service
//!
//! [`Running::publisher`], [`Running::subscribe`] and [`Running::requester`] give a thread or task
//! outside the services a [`Publisher`], a [`Subscription`] or a [`Requester`].
#![forbid(unsafe_code)]

// The rooms of this crate, from the bottom up; a room uses only those before it, and its first
// lines say what it holds:
//
// `support`    log lines, locks, misspelt names, what the launcher says
// `observe`    events, health, reports and metrics, as values
// `supervise`  where a service runs, and who starts it again
// `topology`   the topology file
// `error`      what building, starting and running can fail with
// `task`       what a service or an actor runs as
// `plan`       the plan of a node: that its services, topics and links fit together
// `inbox`      subscriptions, mailboxes of requests, and their ends
// `actor`      actors
// `links`      the links of a node with others
// `shared`     the state that the parts of a running node share
// `service`    what a service is, what it sees, and how its runs follow each other
// `node`       builds, starts and ends all of them
// `testing`    services and actors in tests
//
// Rings and codecs are in `mycelium-core`, topics and links in `mycelium-transports`, the executor
// trait in `mycelium-executor`.

// The macros write paths that start at `::mycelium`.
extern crate self as mycelium;

mod actor;
mod error;
#[cfg(doctest)]
mod guides;
mod inbox;
mod links;
mod node;
mod observe;
mod plan;
mod service;
mod shared;
mod supervise;
mod support;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg_attr(
    not(feature = "topology"),
    allow(dead_code, unreachable_pub, reason = "no file is read")
)]
mod topology;
pub mod untyped;

pub use mycelium_bundle::Restart;
pub use mycelium_core::channel;
pub use mycelium_core::wait::WaitStrategy;
pub use mycelium_core::{
    Code, FixedStr, FixedVec, I128, Message, Request, TraceContext, TraceParseError, U128, U256,
};
pub use mycelium_executor::{Class, Executor, Listener, PlacementFallback, Stream, ThreadError};
/// Makes a struct that calls handlers directly, in the listed order.
///
/// ```
/// # use mycelium::{Handler, Out, Result, routes};
/// # struct Tick { price: u64 }
/// # struct Fill { price: u64 }
/// # #[derive(Default)]
/// # struct Strategy { last: u64 }
/// # impl Handler<Tick> for Strategy {
/// #     fn handle(&mut self, tick: &Tick, _: &mut Out<'_>) -> Result<()> {
/// #         self.last = tick.price;
/// #         Ok(())
/// #     }
/// # }
/// # #[derive(Default)]
/// # struct Risk;
/// # impl Handler<Tick> for Risk {
/// #     fn handle(&mut self, _: &Tick, _: &mut Out<'_>) -> Result<()> { Ok(()) }
/// # }
/// # impl Handler<Fill> for Risk {
/// #     fn handle(&mut self, _: &Fill, _: &mut Out<'_>) -> Result<()> { Ok(()) }
/// # }
/// routes! {
///     /// What must be fast.
///     pub(crate) Fast: {
///         Tick => [Strategy, Risk],
///         Fill => [Risk],
///     }
/// }
///
/// let mut fast = Fast::new(Strategy::default(), Risk::default());
/// fast.route(&Tick { price: 7 })?;
/// fast.route(&Fill { price: 7 })?;
/// assert_eq!(fast.strategy().last, 7);
/// # Ok::<(), mycelium::Error>(())
/// ```
///
pub use mycelium_macros::routes;
pub use mycelium_macros::{actor, message, service};
#[cfg(feature = "otlp")]
pub use mycelium_telemetry::push::{OtlpMetrics, OtlpMetricsError};
#[cfg(feature = "otlp")]
pub use mycelium_telemetry::spans::{OtlpError, OtlpTraces};
pub use mycelium_transports::exchange::{Difference, LayoutMismatch};
pub use mycelium_transports::local::{
    BatchError, Delivery, EmitError, Gap, GapReason, HandlerFailure, KeyError, LatestByKey,
    OnStall, Policy, Publisher, Received, Refusal, Span, SpanKind, SpanSink, Start,
    SubscribeOptions, TryRecv,
};
pub use mycelium_transports::{counters, private_directory};

pub use actor::{
    Actor, ActorBuilder, ActorContext, ActorEnd, ActorRef, ActorSupervisor, Actors, Asking,
    DeadMail, FindActorError, Gone, Handles, Keyed, KeyedBuilder, KeyedTellError, OnError,
    RemoteActorError, RemoteRef, RemoteReply, Replies, SpawnActorError, TellError, Timer, WeakRef,
    WhenFull,
};
pub use error::{
    BuildError, Error, PublisherError, Result, ShuttingDown, StartError, SubscribeError,
    SupervisorProblem, Unfinished, ZeroPeriod,
};
pub use inbox::Subscription;
pub use inbox::request::{Asked, Mismatch, PendingReply, RequestError, Requester, Requests, Taken};
pub use node::builder::{Builder, Supervisor};
#[cfg(feature = "topology")]
pub use node::legacy::LegacyCodec;
#[cfg(feature = "describe")]
pub use node::overview::types::{
    FlowOverview, LegacyTypeOverview, LinkOverview, ListenerOverview, MemberOverview,
    MemoryOverview, NodeOverview, NodeProgram, Overview, OverviewError, OverviewWarning,
    PortOverview, RequestOverview, RingOverview, ServiceOverview, SupervisorOverview,
    TopicOverview,
};
pub use node::{Node, Placement, Running, StartReport};
pub use observe::Event;
pub use observe::health::{Health, HealthCause};
pub use observe::health_state::HealthState;
pub use observe::metrics::{Counter, Gauge, Histogram, MetricError, Metrics};
pub use observe::report::{
    Carrier, LinkReport, Outcome, Report, RingMemory, ServiceReport, StartWarning,
};
pub use plan::dead_letter::DeadLetter;
#[cfg(feature = "describe")]
pub use plan::description::{Description, DescriptionError};
pub use service::clock::{Clock, Interval, JoinHandle};
pub use service::emit::Emit;
pub use service::emit::batch::EmitBatch;
pub use service::emit::traced::{EmitOptions, EmitWith};
pub use service::emit::within::EmitWithin;
pub use service::handlers::out::{Bus, Out, OutError};
pub use service::handlers::routes::{AsyncHandler, Handler, Routes, RoutesAlone, RoutesAsync};
pub use service::kept::Kept;
pub use service::port::{
    Answers, Asks, EmitsOn, EmittedBy, HasPorts, Input, Output, Reads, ReadsOn,
};
pub use service::{Context, Service};
pub use supervise::execution::Execution;
pub use supervise::{Lifetime, NameError, Strategy};
#[cfg(unix)]
pub use support::launcher::end_with_launcher;
#[cfg(feature = "logs")]
pub use support::log::init;
#[cfg(feature = "json-logs")]
pub use support::log::init_json;
#[cfg(feature = "topology")]
pub use topology::Topology;
#[cfg(feature = "topology")]
pub use topology::{NodeCommand, TopologyFiles, TopologyOptions, TopologyPart};
pub use topology::{Problem, TopologyError};

/// What the macros use. Not for other code: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use mycelium_core as core;
    pub use mycelium_transports::local::TraceCell;

    pub use crate::actor::{ActorLife, Ask, AskVisitor, Mail, run_actor, told};
    pub use crate::inbox::Inbox;
    pub use crate::inbox::request::{Answering, SlotPool};
    pub use crate::plan::{Port, Ports};
    pub use crate::service::Life;
    pub use crate::service::handlers::routes::{claim, pass_on, pass_on_async};
    pub use crate::service::port::{AnyPublisher, RequestVisitor};
    pub use crate::service::supervise;
    pub use crate::service::wiring::Wiring;
    pub use crate::task::launch::{
        FutureKind, IsLocal, IsSend, Launch, LocalTask, SendTask, Task, outcome,
    };
}
