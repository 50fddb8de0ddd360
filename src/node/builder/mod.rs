//! The builder of a node: it collects services and settings, and `build` checks them and creates
//! the plan. `request_links` adds the services that carry requests to other nodes,
//! `legacy_services` adds the services for clients of the original system. `described` creates a
//! builder from a description.

mod build;
#[cfg(feature = "describe")]
mod described;
mod fast_handler_options;
#[cfg(feature = "topology")]
mod legacy_services;
mod request_links;
mod supervisor;
#[cfg(any(feature = "metrics", feature = "prometheus", feature = "facade", feature = "otlp"))]
mod telemetry_options;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mycelium_bundle::Restart;
#[cfg(feature = "topology")]
use mycelium_core::Message;
use mycelium_executor::Executor;
use mycelium_transports::local::{OnStall, SpanSink, SubscribeOptions};
use mycelium_transports::seam::{Engine, Transport};

use super::Node;
use super::prepare::{Registered, StopHook};
use super::telemetry::Telemetry;
use crate::inbox::fast_handler::FastHandlers;
use crate::links::{Attached, Engines};
#[cfg(feature = "topology")]
use crate::node::legacy::LegacyCodec;
#[cfg(feature = "topology")]
use crate::node::legacy::hub::Hub;
use crate::node::traces::Traces;
use crate::observe::Event;
use crate::plan::CodedTopics;
#[cfg(feature = "describe")]
use crate::plan::description::Descriptions;
use crate::service::Service;
use crate::shared::observers::Observers;
use crate::supervise::execution::Execution;
use crate::supervise::{Lifetime, ServiceSetting};
use crate::topology::Topology;
#[cfg(feature = "topology")]
use legacy_services::LegacyCodecs;
use request_links::RequestLinks;

#[cfg(all(feature = "signals", feature = "tokio"))]
pub use build::run;
pub use supervisor::Supervisor;

/// Collects the services and settings of a [`Node`].
#[derive(Default)]
pub struct Builder {
    name: String,
    topology: Topology,
    #[cfg(feature = "describe")]
    descriptions: Descriptions,
    services: Vec<Registered>,
    /// Topics by service and port.
    bindings: BTreeMap<(String, String), String>,
    /// Options of subscriptions, by service and port or topic.
    subscriptions: BTreeMap<(String, String), SubscribeOptions>,
    executions: BTreeMap<String, Execution>,
    supervisors: Vec<Supervisor>,
    /// Settings of supervision, by service.
    supervised: BTreeMap<String, ServiceSetting>,
    /// The services in `supervised`, each with the builder method that named it.
    supervised_by: Vec<(String, &'static str)>,
    pub(super) topics: CodedTopics,
    pub(super) traces: Traces,
    pub(super) fast_handlers: FastHandlers,
    executors: Vec<(String, Arc<dyn Executor>)>,
    request_links: RequestLinks,
    #[cfg(feature = "topology")]
    legacy: LegacyCodecs,
    /// The listeners of this node for clients of the original system.
    #[cfg(feature = "topology")]
    listeners: Vec<Arc<Hub>>,
    attached: Vec<Attached>,
    engines: Engines,
    hooks: Vec<StopHook>,
    observers: Observers,
    watchdog: Option<Duration>,
    pub(super) telemetry: Telemetry,
}

impl Node {
    /// Creates a builder without services. `name` is the node's section in the topology file.
    #[must_use]
    pub fn builder(name: &str) -> Builder {
        Builder { name: name.to_owned(), ..Builder::default() }
    }
}

impl Builder {
    /// Sets the topology. Without one, all settings have their defaults.
    #[cfg(feature = "topology")]
    #[must_use]
    pub fn topology(mut self, topology: Topology) -> Builder {
        self.topology = topology;
        self
    }

    /// Adds a service. The factory creates it when the node starts, and again after each panic, on
    /// the thread where the service runs.
    #[must_use]
    pub fn service<S: Service>(self, factory: impl FnMut() -> S + Send + 'static) -> Builder {
        self.named_service(S::NAME, factory)
    }

    /// Adds a service under its own name, for example a second service of the same type.
    #[must_use]
    pub fn named_service<S: Service>(
        mut self,
        name: &str,
        factory: impl FnMut() -> S + Send + 'static,
    ) -> Builder {
        S::each_request(&mut self.request_links);
        self.services.push(Registered::new(name, S::ports(), factory));
        self
    }

    /// Binds a named port of a service to a topic. `[service.NAME.ports]` of the topology takes
    /// precedence.
    ///
    /// ```
    /// use mycelium::{Context, Node, Result, message, service};
    ///
    /// #[message(topic = "swaps", id = 1)]
    /// struct Swap {
    ///     price: u64,
    /// }
    ///
    /// struct Merge;
    ///
    /// #[service(reads(Swap as left, Swap as right), emits(Swap as merged))]
    /// impl Merge {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut left = ctx.subscribe_on(Self::left)?;
    ///         let mut right = ctx.subscribe_on(Self::right)?;
    ///         while let (Some(a), Some(b)) = (left.recv().await, right.recv().await) {
    ///             for swap in [a.message(), b.message()].into_iter().flatten() {
    ///                 ctx.on(Self::merged).emit(swap).await?;
    ///             }
    ///         }
    ///         // One side may have sent more.
    ///         while left.recv().await.is_some() || right.recv().await.is_some() {}
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let node = Node::builder("main")
    ///     .service(|| Merge)
    ///     .bind("Merge", "left", "swaps.uniswap")
    ///     .bind("Merge", "right", "swaps.sushi")
    ///     .bind("Merge", "merged", "swaps")
    ///     .build()?;
    /// # Ok::<(), mycelium::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn bind(mut self, service: &str, port: &str, topic: &str) -> Builder {
        self.bindings.insert((service.to_owned(), port.to_owned()), topic.to_owned());
        self
    }

    /// Sets how a subscription of a service reads: its [`Policy`](crate::Policy) and its
    /// [`Start`](crate::Start). `key` is the topic, or the name of the port. Each key that the
    /// topology sets takes precedence.
    ///
    /// ```
    /// use mycelium::subscribe::LatestByKey;
    /// use mycelium::{Context, Node, Policy, Result, message, service};
    ///
    /// #[message(topic = "positions", id = 1)]
    /// struct Position {
    ///     entity: u64,
    ///     x: f64,
    ///     y: f64,
    /// }
    ///
    /// struct Screen;
    ///
    /// #[service(reads(Position))]
    /// impl Screen {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut positions = ctx.subscribe::<Position>()?;
    ///         while let Some(delivery) = positions.recv().await {
    ///             let Some(position) = delivery.message() else { continue };
    ///             ctx.info("moved", position.entity);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let newest = LatestByKey::of::<Position>("entity", 1000.try_into()?)?;
    /// let node = Node::builder("main")
    ///     .service(|| Screen)
    ///     .subscription("Screen", "positions", Policy::LatestByKey(newest))
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn subscription(
        mut self,
        service: &str,
        key: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Builder {
        self.subscriptions.insert((service.to_owned(), key.to_owned()), options.into());
        self
    }

    /// Sets how the service with this name is executed. Each key that the topology sets takes
    /// precedence.
    ///
    /// ```
    /// use mycelium::execution::{Execution, PlacementFallback, WaitStrategy};
    /// use mycelium::{Context, Node, Result, service};
    ///
    /// struct Strategy;
    ///
    /// #[service()]
    /// impl Strategy {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         ctx.info("alone on its core", std::thread::current().name());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let node = Node::builder("main")
    ///     .service(|| Strategy)
    ///     .execution("Strategy", Execution::pinned([0]).wait(WaitStrategy::Spin).if_refused(PlacementFallback::Warn))
    ///     .build()?;
    /// # Ok::<(), mycelium::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn execution(mut self, service: &str, execution: Execution) -> Builder {
        self.executions.insert(service.to_owned(), execution);
        self
    }

    /// Adds a supervisor of services, with the supervisors below it: see [`Supervisor`]. Each key
    /// that `[supervisor.NAME]` of the topology sets takes precedence.
    #[must_use]
    pub fn supervisor(mut self, supervisor: Supervisor) -> Builder {
        self.supervisors.push(supervisor);
        self
    }

    /// Sets when and how often a service is restarted. Each key that the topology sets takes
    /// precedence. The default is ten times a minute; for a service with a [supervisor](Supervisor)
    /// the default is the supervisor's limit.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mycelium::supervision::{Lifetime, Restart};
    /// use mycelium::{Context, Node, Result, service};
    ///
    /// struct Feed;
    ///
    /// #[service()]
    /// impl Feed {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let stream = ctx.connect("localhost:7400").await?;
    ///         ctx.info("connected", stream);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let node = Node::builder("main")
    ///     .service(|| Feed)
    ///     .restart("Feed", Restart { limit: 100, ..Restart::default() })
    ///     .lifetime("Feed", Lifetime::Permanent)
    ///     .start_deadline("Feed", Duration::from_secs(5))
    ///     .build()?;
    /// # Ok::<(), mycelium::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn restart(mut self, service: &str, restart: Restart) -> Builder {
        self.supervised(service, "restart").restart = restart.into();
        self
    }

    /// Sets whether a service is started again after its end: see [`Lifetime`]. The key `lifetime`
    /// of the topology takes precedence. By default a service runs until it returns `Ok`.
    #[must_use]
    pub fn lifetime(mut self, service: &str, lifetime: Lifetime) -> Builder {
        self.supervised(service, "lifetime").lifetime = Some(lifetime);
        self
    }

    /// Sets how long a run of a service may take until it has *started*: its first poll has
    /// returned, and it has taken all subscriptions that it declares. A run that takes longer is
    /// dropped and counts as failed. The key `start_deadline` of the topology takes precedence. By
    /// default there is no deadline.
    #[must_use]
    pub fn start_deadline(mut self, service: &str, within: Duration) -> Builder {
        self.supervised(service, "start_deadline").start_deadline = Some(within);
        self
    }

    fn supervised(&mut self, service: &str, method: &'static str) -> &mut ServiceSetting {
        self.supervised_by.push((service.to_owned(), method));
        self.supervised.entry(service.to_owned()).or_default()
    }

    /// Sets the backpressure threshold of a topic: the fill level of a publisher's ring, in
    /// percent, at which [`Context::backpressure_threshold_exceeded`] is true and observers get
    /// [`Event::BackpressureStarted`]. The default is 80. `backpressure_threshold` of the topology
    /// takes precedence.
    ///
    /// ```
    /// use mycelium::error::{BuildError, Code};
    /// use mycelium::{Context, Node, Result, message, service};
    ///
    /// #[message(topic = "readings", id = 1)]
    /// struct Reading {
    ///     value: u64,
    /// }
    ///
    /// struct Sensor;
    ///
    /// #[service(emits(Reading))]
    /// impl Sensor {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         Ok(ctx.emit(Reading { value: 7 }).await?)
    ///     }
    /// }
    ///
    /// let builder = || Node::builder("main").service(|| Sensor);
    /// builder().backpressure_threshold("readings", 50).build()?;
    /// let error = builder().backpressure_threshold("reading", 50).build().unwrap_err();
    /// assert_eq!(error.code(), Code::BACKPRESSURE_THRESHOLD);
    /// # Ok::<(), BuildError>(())
    /// ```
    ///
    /// [`Context::backpressure_threshold_exceeded`]:
    /// crate::Context::backpressure_threshold_exceeded
    #[must_use]
    pub fn backpressure_threshold(mut self, topic: &str, percent: u32) -> Builder {
        self.topics.thresholds.insert(topic.to_owned(), percent);
        self
    }

    /// Sets what happens to a `block` or `reject` reader that stalls a publisher of a topic in this
    /// node. By default the publisher waits without a limit. `on_stall` of the topology takes
    /// precedence.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mycelium::error::{BuildError, Code};
    /// use mycelium::subscribe::OnStall;
    /// use mycelium::{Context, Node, Result, message, service};
    ///
    /// #[message(topic = "readings", id = 1)]
    /// struct Reading {
    ///     value: u64,
    /// }
    ///
    /// struct Sensor;
    ///
    /// #[service(emits(Reading))]
    /// impl Sensor {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         Ok(ctx.emit(Reading { value: 7 }).await?)
    ///     }
    /// }
    ///
    /// let evict = OnStall::EvictAfter(Duration::from_secs(5));
    /// let builder = || Node::builder("main").service(|| Sensor);
    /// builder().on_stall("readings", evict).build()?;
    /// let error = builder().on_stall("reading", evict).build().unwrap_err();
    /// assert_eq!(error.code(), Code::ON_STALL);
    /// # Ok::<(), BuildError>(())
    /// ```
    #[must_use]
    pub fn on_stall(mut self, topic: &str, on_stall: OnStall) -> Builder {
        self.topics.on_stall.insert(topic.to_owned(), on_stall);
        self
    }

    /// Records the traces of messages: this share of the traces, from 0 to 1, chosen where a trace
    /// begins. By default messages have no traces. `sample` of `[telemetry]` in the topology takes
    /// precedence. `docs/observability.md` defines traces.
    ///
    /// The sink gets each span of this node when the span ends. It must not wait: tasks of services
    /// call it.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use mycelium::trace::{Span, SpanSink};
    /// use mycelium::{Context, Node, Result, message, service};
    ///
    /// #[message(topic = "readings", id = 1)]
    /// struct Reading {
    ///     value: u64,
    /// }
    ///
    /// struct Sensor;
    ///
    /// #[service(emits(Reading))]
    /// impl Sensor {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         Ok(ctx.emit(Reading { value: 7 }).await?)
    ///     }
    /// }
    ///
    /// #[derive(Clone, Debug, Default)]
    /// struct Spans(Arc<Mutex<Vec<Span>>>);
    ///
    /// impl SpanSink for Spans {
    ///     fn record(&self, span: Span) {
    ///         self.0.lock().unwrap().push(span);
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let spans = Spans::default();
    /// let node = Node::builder("main").service(|| Sensor).traces(1.0, spans.clone()).build()?;
    /// node.start(mycelium::execution::tokio::Tokio::current()?)?.join().await?;
    /// assert_eq!(&*spans.0.lock().unwrap()[0].service, "Sensor");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn traces(mut self, share: f64, sink: impl SpanSink + 'static) -> Builder {
        self.traces.set_share(share);
        self.traces.set_sink(Arc::new(sink));
        self
    }

    /// Adds an executor for services that name it ([`Execution::on`], `executor` in the topology).
    /// Services on different executors exchange messages in the same way as on one executor. The
    /// executor must outlive the node.
    #[must_use]
    pub fn executor(mut self, name: &str, executor: impl Executor) -> Builder {
        self.executors.push((name.to_owned(), Arc::new(executor)));
        self
    }

    /// Calls `observer` with each event of the node and its services. Observers run one after the
    /// other, on the thread of the event, which waits for them: they should return quickly. A panic
    /// of an observer is logged and has no other effect.
    ///
    /// ```
    /// use mycelium::observe::Event;
    /// use mycelium::Node;
    ///
    /// let builder = Node::builder("main").observe(|event| {
    ///     if let Event::ServiceRestarted { service, error } = event {
    ///         eprintln!("{service} runs again after: {error}");
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Builder {
        self.observers.add(observer);
        self
    }

    /// Sets the limit of the watchdog, a thread that reports services that stay in one poll for
    /// longer than the limit: once per service in the log, and each time as [`Event`]s and in a
    /// counter. The key `watchdog` of the topology takes precedence. The default is 250 ms; zero
    /// disables the watchdog. Fast handlers are watched only if the limit is set explicitly.
    #[must_use]
    pub fn watchdog(mut self, limit: Duration) -> Builder {
        self.watchdog = Some(limit);
        self
    }

    /// Sets the codec of one message type for clients of the original system. A listener
    /// (`[legacy.NAME]` of the topology) maps types of the original system to topics: the message
    /// types of these topics need a codec. Without a listener the codec has no effect. A second
    /// codec for the same type replaces the first. See `docs/legacy.md`.
    ///
    /// ```
    /// use mycelium::legacy::LegacyCodec;
    /// use mycelium::{Context, Node, Result, Topology, message, service};
    ///
    /// #[message(topic = "swaps", id = 1)]
    /// struct Swap {
    ///     pool: u64,
    ///     price: u64,
    /// }
    ///
    /// struct Detector;
    ///
    /// #[service(reads(Swap))]
    /// impl Detector {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut swaps = ctx.subscribe::<Swap>()?;
    ///         while let Some(delivery) = swaps.recv().await {
    ///             let Some(swap) = delivery.message() else { continue };
    ///             ctx.info("swap", swap.price);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let topology = Topology::parse("app.toml", r#"
    /// [legacy.floor]
    /// listen = "127.0.0.1:7401"
    /// wire = "plain"
    /// [legacy.floor.types]
    /// 11 = { topic = "swaps", clients = "send" }
    /// "#)?;
    /// let node = Node::builder("main")
    ///     .topology(topology)
    ///     .service(|| Detector)
    ///     .legacy(LegacyCodec::<Swap>::same_bytes())
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "topology")]
    #[must_use]
    pub fn legacy<M: Message>(mut self, codec: LegacyCodec<M>) -> Builder {
        self.legacy.add(codec);
        self
    }

    /// Attaches the program's own transport. It sends the messages of the topics in `sends`, which
    /// services of this node emit, and receives messages of the topics in `receives`, which
    /// services of this node read. [`transport`](crate::transport) explains how to write one.
    ///
    /// A [description](crate::overview::Description) does not include transports: `mycelium check`
    /// warns that such a topic has no publisher or no reader.
    #[must_use]
    pub fn transport(
        mut self,
        transport: impl Transport,
        sends: &[&str],
        receives: &[&str],
    ) -> Builder {
        let owned = |topics: &[&str]| topics.iter().map(|&topic| topic.to_owned()).collect();
        let (sends, receives) = (owned(sends), owned(receives));
        self.attached.push(Attached { transport: Box::new(transport), sends, receives });
        self
    }

    /// Brings an engine along, such as `mycelium_zenoh::Zenoh`. It carries the topics of this node
    /// whose sections in the topology file name it, in place of links. A program may bring engines
    /// that its file does not use; they do nothing.
    #[must_use]
    pub fn engine<E: Engine>(mut self) -> Builder {
        self.engines.add::<E>();
        self
    }

    /// Adds a hook that runs at the end, when all services have ended or were abandoned, for
    /// example to close resources that they shared. Hooks run one after the other, in the reverse
    /// of the order in which they were added. All hooks together have the same time limit as the
    /// services at a shutdown.
    #[must_use]
    pub fn on_stop<F: Future<Output = ()> + Send + 'static>(
        mut self,
        hook: impl FnOnce() -> F + Send + 'static,
    ) -> Builder {
        self.hooks.push(Box::new(move || Box::pin(hook())));
        self
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.services.iter().map(|service| &service.name).collect();
        f.debug_struct("Builder").field("name", &self.name).field("services", &services).finish()
    }
}
