//! Mycelium: one service source, any executor, any transport.
//!
//! A **service** is a struct with an `async fn run` that reads and emits typed **messages**. A
//! **node** creates services from factories, connects the ports that they declare, supervises them,
//! and shuts them down. The caller chooses the executor. By default no message is lost.
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
//! node.run(mycelium::execution::tokio::Tokio::current()?).await?;
//! assert_eq!(sum.recv()?, 5050);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`#[message]`](macro@message) makes a struct of numbers, texts, lists, options, maps, tuples,
//!   and structs and enums that have it too, a [`Message`] with a topic. It is *fixed*, and needs
//!   no encoding, if all its fields have one size, as numbers, [`FixedStr`](fields::FixedStr) and
//!   [`FixedVec`](fields::FixedVec) have.
//! - [`#[service]`](macro@service) makes a type a [`Service`]. Its `run` can use the messages that
//!   it lists in `reads(..)` and `emits(..)`, and no others.
//! - `reads(Tick as left, Tick as right)` names **ports**: one message type on several topics. The
//!   topology or [`Builder::bind`] binds each port to a topic; [`Context::subscribe_on`] takes an
//!   [`Input`](ports::Input) such as `Self::left`, [`Context::on`] takes an
//!   [`Output`](ports::Output) and returns an [`Emitter`](emit::Emitter).
//! - [`Context`] is what a service sees: [`emit`](Context::emit) (an [`Emit`](emit::Emit) to await,
//!   or with a deadline an [`EmitWithin`](emit::EmitWithin), or with a trace of its own an
//!   [`EmitTraced`](emit::EmitTraced)), [`reserve`](Context::reserve) (a
//!   [`Reserve`](emit::Reserve)), [`emit_batch`](Context::emit_batch) (an
//!   [`EmitBatch`](emit::EmitBatch)), [`subscribe`](Context::subscribe),
//!   [`sleep`](Context::sleep), [`interval`](Context::interval) (an
//!   [`Interval`](execution::Interval)), [`spawn`](Context::spawn) (a
//!   [`JoinHandle`](execution::JoinHandle)), [`connect`](Context::connect) and
//!   [`listen`](Context::listen) (a [`Stream`](execution::Stream), a
//!   [`Listener`](execution::Listener)), the time of the node (a [`Clock`](execution::Clock) for
//!   child tasks).
//! - [`Subscription::recv`] returns a [`Delivery`]: a message, or a [`Gap`] with its
//!   [`GapReason`](subscribe::GapReason) and the number of missed messages.
//!   [`Subscription::recv_many`] returns many at once, [`Subscription::try_recv`] does not wait.
//! - `#[message(.., reply = Price)]` makes a message a [`Request`]. [`Context::request`] returns a
//!   [`PendingReply`](requests::PendingReply), [`Context::requests`] the
//!   [`Requests`](requests::Requests) of a service that answers, each an
//!   [`Asked`](requests::Asked); in one node or between two.
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
//! With `block` an [`emit`](Context::emit) waits; with `reject` it returns an
//! [`EmitError`](emit::EmitError) with the message and a [`Refusal`](emit::Refusal); the others
//! never make a publisher wait, and their reader gets a [`Gap`]. `docs/choosing.md` has a table,
//! `docs/guarantees.md` the exact rules.
//!
//! # Call handlers directly
//!
//! Where a queue is too slow, [`routes!`] creates a struct of [`Handler`](route::Handler)s (or
//! [`AsyncHandler`](route::AsyncHandler)s) that are called in the listed order; they emit to the
//! bus through an [`Out`](route::Out). [`Context::handle`] calls a handler for each message of a
//! subscription, so the same struct can be a service. [`Builder::fast_handler`] adds a function
//! that is called with each message of a topic before it is sent, and that may refuse the message.
//!
//! ```
//! use mycelium::route::{Handler, Out};
//! use mycelium::{Result, routes};
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
//! A [`Topology`] file names the nodes and the services of each node. Each process builds the same
//! services and runs one node, by its name. Links carry the topics between nodes.
//!
//! ```
//! # use mycelium::{Node, Topology};
//! let topology = Topology::parse("app.toml", "node.feed.services = []\nnode.store.services = []")?;
//! let node = Node::builder("store").topology(topology).build()?;
//! assert_eq!(node.name(), "store");
//! # Ok::<(), mycelium::error::BuildError>(())
//! ```
//!
//! An unknown name or an invalid value is a [`TopologyError`](topology::TopologyError) with file,
//! line and [`Code`](error::Code). [`Running::ready`] waits until the nodes have connected. Nodes
//! whose messages have different layouts do not exchange them. Crate `mycelium-bus-bundle` starts all
//! nodes with one command; [`end_with_launcher`](execution::end_with_launcher) ends a process with
//! its launcher, and [`private_directory`](untyped::private_directory) is the directory of the
//! sockets. `docs/topology.md` has all keys.
//!
//! # Place services on threads
//!
//! [`Builder::execution`] gives a service an [`Execution`](execution::Execution): a thread, cores,
//! a scheduling [`Class`](execution::Class), a [`WaitStrategy`](execution::WaitStrategy). The
//! topology can do the same. [`Builder::executor`] adds another runtime. [`Running::start_report`]
//! has what the system granted; [`PlacementFallback`](execution::PlacementFallback) says whether a
//! refusal is an error.
//!
//! # Use actors
//!
//! An **actor** is a value with its own bounded mailbox. It is spawned and stopped while the
//! program runs, and restarted when it fails; its references and its mailbox survive a restart.
//!
//! ```
//! use mycelium::actors::Actors;
//! use mycelium::actor;
//!
//! #[derive(Default)]
//! struct Adder {
//!     sum: u64,
//! }
//!
//! #[actor]
//! impl Adder {
//!     fn add(&mut self, number: u64) -> u64 {
//!         self.sum += number;
//!         self.sum
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let actors = Actors::on(mycelium::execution::tokio::Tokio::current()?);
//! let mut adder = actors.spawn(Adder::default)?;
//! assert_eq!(adder.add(7).await?, 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`#[actor]`](macro@actor) makes a type an [`Actor`](actors::Actor): its methods are calls, which
//!   its references have; [`CallError`](actors::CallError) says why a call has no reply. Methods
//!   with `#[tell]` handle messages, methods with `#[remote]` handle [`Request`]s, also from other
//!   nodes.
//! - [`Actors`](actors::Actors) spawns and finds them: [`Actors::on`](actors::Actors::on) creates a
//!   set on an executor; [`Context::actors`] and [`Running::actors`] return the set of the node. An
//!   [`ActorBuilder`](actors::ActorBuilder) sets the name, the queue of the mailbox ([`channel`]),
//!   its capacity, and what happens when it is full.
//! - An [`ActorRef`](actors::ActorRef) calls, tells and asks; a [`WeakRef`](actors::WeakRef) does not keep
//!   the actor alive. [`ActorEnd`](actors::ActorEnd) says how an actor has ended.
//! - A [`RemoteRef`](actors::RemoteRef) is for an actor of another node.
//!   [`RemoteActorError`](actors::RemoteActorError) says why a reference cannot be created,
//!   [`Mismatch`](requests::Mismatch) why the actor cannot answer.
//! - An [`ActorContext`](actors::ActorContext) gives a handler timers, children, and the ends of
//!   other actors; [`Asking`](actors::Asking) is the reply that it waits for.
//!   [`OnError`](actors::OnError) says what happens after an error. [`DeadMail`](actors::DeadMail)
//!   is a message that was not handled. [`SpawnActorError`](actors::SpawnActorError) and
//!   [`FindActorError`](actors::FindActorError) are the other errors.
//! - [`Keyed`](actors::Keyed) has an actor for each key: created on first use, passivated when
//!   idle, placed by the key.
//!
//! `docs/actors.md` is the guide; `docs/coming-from.md` is for users of other libraries of channels,
//! actors and messages.
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
//! `docs/testing-your-services.md` has more: several services, ports, errors, paused time. Actors
//! have `mycelium::testing::TestActor`.
//!
//! # Handle errors and restarts
//!
//! `run` returns a [`Result`]; `?` makes an [`Error`] of every error type. After an error the same
//! instance runs again, after a panic a new one from the factory, with growing pauses.
//! [`Error::permanent`] ends the node at once. State that outlives a panic is in a
//! [`Kept`](supervision::Kept).
//!
//! A [`Supervisor`](supervision::Supervisor) restarts services together, by its
//! [`Strategy`](supervision::Strategy) and within its own limit; [`Builder::lifetime`] says whether
//! a service is restarted at all, [`Builder::start_deadline`] how long a run may take until it has
//! started. `docs/actors.md` has the rules.
//!
//! A message that was in flight when its service failed is delivered once more, and
//! [`Received::redelivered`](subscribe::Received::redelivered) says so. If the service fails again,
//! the message becomes a [`DeadLetter`], which a service can read like any other message.
//!
//! | error | of |
//! | --- | --- |
//! | [`TopologyError`](topology::TopologyError) | reading a topology |
//! | [`BuildError`](error::BuildError) | [`Builder::build`]: services that do not fit together |
//! | [`NameError`](supervision::NameError) | a text that does not name a [`Strategy`](supervision::Strategy) or [`Lifetime`](supervision::Lifetime) |
//! | [`StartError`](error::StartError) | [`Node::start`], [`Node::run`], [`Running::join`] |
//! | [`SubscribeError`](error::SubscribeError) | [`Context::subscribe`], [`Running::subscribe`] |
//! | [`EmitError`](emit::EmitError) | [`Context::emit`], [`Publisher::emit`] |
//! | [`BatchError`](emit::BatchError) | [`Context::emit_batch`], [`Publisher::emit_batch`] |
//! | [`RequestError`](requests::RequestError) | [`Context::request`]; it says whether the request was [`Taken`](requests::Taken) |
//! | [`OutError`](route::OutError) | [`Out::emit`](route::Out::emit), [`Out::try_emit`](route::Out::try_emit) |
//! | [`PublisherError`](error::PublisherError) | [`Context::publisher`] |
//! | [`ShuttingDown`](error::ShuttingDown) | [`Context::sleep`], when the node shuts down |
//! | [`Problem`](error::Problem) | [`Context::metrics`], [`Context::interval`], [`Topology::overview`], [`Description::from_json`](overview::Description::from_json) |
//! | [`Unfinished`](error::Unfinished) | a [`JoinHandle`](execution::JoinHandle) whose work panicked or was dropped |
//!
//! # Shut down
//!
//! [`Node::run`] shuts down at SIGINT (Ctrl-C) or SIGTERM; [`Context::shutdown`] and
//! [`Running::shutdown`] do the same. Sources end first: [`Context::sleep`], and the
//! [`emit`](Context::emit) of a service that reads nothing, fail with
//! [`ShuttingDown`](error::ShuttingDown), and `?` ends the service without a failure. So `loop {
//! ctx.emit(..).await? }` is a source that ends. The messages that it emitted are received; then
//! each [`recv`](Subscription::recv) returns `None`. Services that have not ended at the deadline
//! are abandoned and named. [`Builder::on_stop`] adds a hook for the very end.
//!
//! # See what happens
//!
//! - **Logs**: [`Context::info`], [`Context::warn`] and [`Context::error`], and the events of the
//!   node, go to the `tracing` subscriber of the program. Without one, warnings and errors are
//!   printed to the standard error. `mycelium::init()` (feature `logs`) prints more, as `RUST_LOG`
//!   says.
//! - **Probable mistakes**: a topic without a reader, a service in no node and the like are
//!   [`StartWarning`](observe::StartWarning)s of the [`StartReport`](execution::StartReport).
//! - **Events**: [`Builder::observe`] calls a function with each [`Event`](observe::Event): a
//!   start, a restart, a stop, a poll that takes too long ([`Builder::watchdog`]).
//! - **Counters**: [`Running::counters`] has what was sent, taken, dropped and left, for each
//!   publisher and subscription ([`counters`]).
//! - **Metrics**: [`Context::metrics`] makes a [`Counter`](metrics::Counter), a
//!   [`Gauge`](metrics::Gauge) or a [`Histogram`](metrics::Histogram) of a service's own, which
//!   [`Running::metrics`] reads.
//! - **Health**: [`Running::health`] says how the node and each service is.
//! - **Prometheus**: with the feature `prometheus` a node serves its metrics, and its health as
//!   `/live` and `/ready`; with `otlp` it pushes them to an OpenTelemetry collector.
//!   `docs/observability.md` has this and more.
//! - **Traces**: [`Builder::traces`] has the spans of messages on their way through services and
//!   nodes; with the feature `otlp` they go to an OpenTelemetry collector.
//! - **The end**: the [`Report`](observe::Report) of a node has a
//!   [`ServiceReport`](observe::ServiceReport) with its [`Outcome`](observe::Outcome) for each
//!   service.
//!
//! # Switch features off
//!
//! | feature | on by default | without it |
//! | --- | --- | --- |
//! | `metrics` | yes | nothing is counted: [`Running::counters`] is empty, and [`Context::metrics`] compiles to nothing. Gaps, dead letters and the [`Report`](observe::Report) of services are the same |
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
//! outside the services a [`Publisher`], a [`Subscription`] or a
//! [`Requester`](requests::Requester).
#![forbid(unsafe_code)]

// `docs/architecture.md` lists the modules of this crate from the bottom up. A module uses only
// modules below it, and its first lines say what it holds.

// Lets the macros be used in this crate, too: their paths start with `::mycelium`.
extern crate self as mycelium;

#[cfg(feature = "actors")]
mod actor;
pub mod error;
#[cfg(doctest)]
mod guides;
#[cfg_attr(
    not(feature = "actors"),
    allow(dead_code, unused_imports, reason = "actors use the rest")
)]
mod inbox;
mod links;
mod node;
pub mod observe;
#[cfg_attr(
    not(feature = "actors"),
    allow(dead_code, unused_imports, reason = "actors use the rest")
)]
mod plan;
mod service;
mod shared;
#[cfg_attr(
    not(feature = "actors"),
    allow(dead_code, unused_imports, reason = "actors use the rest")
)]
mod supervise;
mod support;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(not(feature = "topology"))]
#[allow(dead_code, unreachable_pub, reason = "no file is read")]
mod topology;
#[cfg(feature = "topology")]
pub mod topology;
pub mod untyped;

pub use mycelium_core::{Message, Request, channel};
#[cfg(feature = "actors")]
pub use mycelium_macros::actor;
/// Makes a struct that calls handlers directly, in the listed order.
///
/// ```
/// # use mycelium::route::{Handler, Out};
/// # use mycelium::{Result, routes};
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
pub use mycelium_macros::{message, service};
pub use mycelium_transports::counters;
pub use mycelium_transports::local::{Delivery, Gap, Policy, Publisher, Start};

#[doc(inline)]
pub use error::{Error, Result};
pub use inbox::Subscription;
pub use node::builder::Builder;
#[cfg(all(feature = "signals", feature = "tokio"))]
pub use node::builder::run;
pub use node::{Node, Running};
pub use plan::dead_letter::DeadLetter;
pub use service::{Context, Service};
#[cfg(feature = "logs")]
pub use support::log::init;
#[cfg(feature = "json-logs")]
pub use support::log::init_json;
#[cfg(feature = "topology")]
#[doc(inline)]
pub use topology::Topology;

/// Actors: state with a mailbox. See [the example](crate#use-actors). Needs the feature `actors`.
#[cfg(feature = "actors")]
pub mod actors {
    pub use crate::actor::{
        Actor, ActorBuilder, ActorContext, ActorEnd, ActorRef, ActorSupervisor, Actors, Asking,
        CallError, DeadMail, FindActorError, Gone, Handles, Keyed, KeyedBuilder, KeyedTellError,
        OnError, RemoteActorError, RemoteRef, RemoteReply, Replies, SpawnActorError, TellError,
        Timer, WeakRef, WhenFull,
    };
}

/// The results of [`Context::emit`] and similar methods, and why a message was not accepted.
pub mod emit {
    pub use mycelium_core::message::Tail;
    pub use mycelium_transports::local::{
        BatchError, EmitError, HandlerFailure, Refusal, Reservation,
    };

    pub use crate::service::emit::batch::EmitBatch;
    pub use crate::service::emit::emitter::Emitter;
    pub use crate::service::emit::emitter::{Emit, EmitRef};
    pub use crate::service::emit::reserve::Reserve;
    pub use crate::service::emit::traced::EmitTraced;
    pub use crate::service::emit::within::EmitWithin;
}

/// Where and how services run: executors, threads, waits, and the time and tasks of a service.
pub mod execution {
    pub use mycelium_core::wait::WaitStrategy;
    pub use mycelium_executor::{Class, Executor, Listener, PlacementFallback, Stream, block_on};
    #[cfg(all(feature = "glommio", target_os = "linux"))]
    #[doc(no_inline)]
    pub use mycelium_glommio as glommio;
    #[cfg(feature = "smol")]
    #[doc(no_inline)]
    pub use mycelium_smol as smol;
    #[cfg(feature = "tokio")]
    #[doc(no_inline)]
    pub use mycelium_tokio as tokio;

    pub use crate::node::{Placement, StartReport};
    pub use crate::service::clock::{Clock, Interval, JoinHandle};
    pub use crate::supervise::execution::Execution;
    #[cfg(unix)]
    pub use crate::support::launcher::end_with_launcher;
}

/// Types of the fields of messages, beside numbers, `bool` and arrays.
pub mod fields {
    pub use mycelium_core::{FixedStr, FixedVec, I128, U128, U256};
}

/// The codec of messages for clients that still use the protocol of the original system.
#[cfg(feature = "topology")]
pub mod legacy {
    pub use crate::node::legacy::LegacyCodec;
}

/// Metrics of services and of the node, and where they are exported.
pub mod metrics {
    #[cfg(feature = "otlp")]
    pub use mycelium_telemetry::push::OtlpMetrics;

    pub use crate::observe::metrics::{Counter, Gauge, Histogram, Metrics};
}

/// The overview that tools make of a topology and its programs before any of them runs.
#[cfg(feature = "describe")]
pub mod overview {
    pub use crate::node::overview::types::{
        FlowOverview, LinkOverview, ListOverview, ListenerOverview, MemberOverview, MemoryOverview,
        NodeOverview, NodeProgram, Overview, OverviewWarning, PortOverview, RequestOverview,
        RetainedOverview, RingOverview, ServiceOverview, SupervisorOverview, TopicOverview,
    };
    pub use crate::plan::description::Description;
}

/// The ports that a service declares: the traits and constants that
/// [`#[service]`](macro@crate::service) writes.
pub mod ports {
    pub use crate::service::port::{
        Answers, Asks, EmitsOn, EmittedBy, HasPorts, Input, Output, Reads, ReadsOn,
    };
}

/// Requests of services, and their replies.
pub mod requests {
    pub use crate::inbox::request::{
        Asked, Call, Mismatch, PendingReply, RequestError, Requester, Requests, Taken,
    };
}

/// Handlers that are called directly. See [the example](crate#call-handlers-directly).
pub mod route {
    pub use crate::service::handlers::out::{Bus, Out, OutError};
    pub use crate::service::handlers::routes::{
        AsyncHandler, Handler, Routes, RoutesAlone, RoutesAsync,
    };
}

/// How subscriptions read, and what they deliver.
pub mod subscribe {
    pub use mycelium_transports::local::{
        GapReason, KeyError, KeyValue, LatestByKey, OnStall, Received, SubscribeOptions, TryRecv,
    };
}

/// When services are restarted, alone or with other services.
pub mod supervision {
    pub use mycelium_bundle::Restart;

    pub use crate::node::builder::Supervisor;
    pub use crate::service::kept::Kept;
    pub use crate::supervise::{Lifetime, NameError, Strategy};
}

/// The traces of messages.
pub mod trace {
    pub use mycelium_core::{TraceContext, TraceParseError};
    #[cfg(feature = "otlp")]
    pub use mycelium_telemetry::otlp::OtlpError;
    #[cfg(feature = "otlp")]
    pub use mycelium_telemetry::spans::OtlpTraces;
    pub use mycelium_transports::local::{Span, SpanKind, SpanSink};
}

/// Transports of the program's own, which [`Builder::transport`] attaches to a node.
#[doc(inline)]
pub use mycelium_transports::seam as transport;

/// Items that the macros use. Not for other code: they change without notice.
#[doc(hidden)]
pub mod __private {
    pub use mycelium_core as core;
    pub use mycelium_transports::local::TraceCell;

    #[cfg(feature = "actors")]
    pub use crate::actor::{
        ActorLife, Ask, AskVisitor, Caller, InThisProcess, Mail, MailContent, Methods, Outcome,
        Plain, Probe, RemoteCaller, Returns, number, run_actor,
    };
    pub use crate::inbox::Inbox;
    pub use crate::inbox::request::{Answering, SlotPool};
    pub use crate::plan::{Port, Ports};
    pub use crate::service::Life;
    pub use crate::service::port::{AnyPublisher, RequestVisitor};
    pub use crate::service::supervise;
    pub use crate::service::wiring::Wiring;
    pub use crate::task::launch::{Launch, LocalRun, Runs, SendRun, outcome};
}
