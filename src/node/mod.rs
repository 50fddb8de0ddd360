//! A node: it starts the services of one process. Read `builder` first, then this file; then
//! `prepare` (creates a service's subscriptions and publishers), `supervisors` (adds it to the
//! supervision tree), `placing` (places it on its executor or thread), `driver` (waits for the end)
//! with `endless` (the subscriptions that it must end), `notices` (reactions to links), `watchdog`,
//! `telemetry` (the metrics and traces that the node exports), and `running` (the owner's handle).
//!
//! `remote` carries requests to other nodes, `legacy` serves clients of the original system, and
//! `overview` builds the nodes of all programs for tools.

pub(crate) mod builder;
mod driver;
mod endless;
#[cfg(feature = "topology")]
pub(crate) mod legacy;
mod notices;
#[cfg(feature = "describe")]
pub(crate) mod overview;
mod placing;
mod prepare;
mod remote;
mod running;
mod supervisors;
mod telemetry;
mod traces;
mod watchdog;

use std::fmt;
#[cfg(feature = "signals")]
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

#[cfg(feature = "signals")]
use futures_util::future::{Either, select};
use mycelium_core::{Code, Message};
#[cfg(feature = "signals")]
use mycelium_executor::SendFuture;
use mycelium_executor::{Executor, TaskQueue};
use mycelium_transports::local::{PageSize, Publisher, SubscribeOptions};

use crate::error::{BuildError, StartError, SubscribeError};
use crate::inbox::Subscription;
#[cfg(feature = "topology")]
use crate::links::bind_error;
#[cfg(feature = "topology")]
use crate::links::log::Log;
use crate::links::{Attached, LinkSetup, Links, Peers};
#[cfg(feature = "topology")]
use crate::node::legacy::hub::Hub;
#[cfg(feature = "actors")]
use crate::node::remote::RemoteNodes;
use crate::observe::report::Carrier;
#[cfg(feature = "signals")]
use crate::observe::report::Report;
use crate::observe::report::StartWarning;
use crate::plan::Plan;
#[cfg(feature = "testing")]
use crate::plan::dead_letter::DeadLetter;
use crate::shared::observers::Observers;
#[cfg(feature = "testing")]
use crate::shared::probe::Probe;
use crate::shared::{HandlersToWatch, PollMark, ServiceNode, Sinks, Topics, WatchdogHandle};
#[cfg(feature = "testing")]
use crate::supervise::execution::Execution;
use crate::supervise::note_places;
#[cfg(unix)]
use crate::support::launcher;
use crate::support::log;
use crate::support::names::expected_instead_of;
use crate::topology::{Problem, Setting};
use driver::NodeThreads;
use notices::LinkNotices;
use placing::kind;
use prepare::{Prepared, Registered, Resolved, StopHook};
use supervisors::members;
use telemetry::Telemetry;
use watchdog::Watchdog;

pub use placing::Placement;
pub use running::{Running, StartReport};

/// How long further signals count as the same request: `timeout` of coreutils sends one signal to
/// its process, and one to the process group.
#[cfg(feature = "signals")]
const ONE_SIGNAL: Duration = Duration::from_millis(100);

/// Services that fit together, ready to start. See the [crate's example](crate).
pub struct Node {
    plan: Arc<Plan>,
    topics: Topics,
    /// The connections with nodes that this one reads from.
    peers: Arc<Peers>,
    warnings: Vec<StartWarning>,
    services: Vec<Registered>,
    executors: Vec<(String, Arc<dyn Executor>)>,
    attached: Vec<Attached>,
    hooks: Vec<StopHook>,
    observers: Observers,
    /// The limit of the watchdog, and whether the program or the topology sets it.
    watchdog: Option<(Duration, bool)>,
    telemetry: Telemetry,
    /// The node's listeners for clients of the original system.
    #[cfg(feature = "topology")]
    legacy: Vec<Arc<Hub>>,
    #[cfg(feature = "testing")]
    probe: Option<Arc<Probe>>,
}

impl Node {
    /// Returns the memory of all publishers' rings with the entries of their readers, in bytes: on
    /// the heap and in shared memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.plan.memory.total()
    }

    /// Returns the name of the node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.node
    }

    /// Returns the nodes that this node reads from.
    pub fn reads_from(&self) -> impl Iterator<Item = &str> {
        self.plan.peer_topics.publishers.keys().map(String::as_str)
    }

    /// Creates a subscription for code outside the services, such as a test or a thread of the
    /// application. It misses nothing, not even messages that a service emits immediately after its
    /// start.
    ///
    /// With a gating policy (`block`, `reject`) it applies backpressure from the start: publishers
    /// wait while it is not read. Its `recv` returns `None` when the services have ended and all
    /// messages were received, or when the node is dropped without a start.
    ///
    /// # Errors
    /// [`SubscribeError`] if the topic refuses the subscription.
    ///
    /// ```
    /// use mycelium::{Context, Delivery, Node, Policy, Result, message, service};
    ///
    /// #[message(topic = "greetings", id = 1)]
    /// #[derive(Debug, PartialEq)]
    /// struct Greeting {
    ///     number: u64,
    /// }
    ///
    /// struct Greeter;
    ///
    /// #[service(emits(Greeting))]
    /// impl Greeter {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         ctx.emit(Greeting { number: 1 }).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let node = Node::builder("main").service(|| Greeter).build()?;
    /// let mut greetings = node.subscribe::<Greeting>("audience", Policy::Block)?;
    /// let running = node.start(mycelium::execution::tokio::Tokio::current()?)?;
    /// let first = greetings.recv().await.and_then(Delivery::message);
    /// assert_eq!(first, Some(Greeting { number: 1 }));
    /// assert_eq!(greetings.recv().await, None);
    /// running.join().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe<M: Message>(
        &self,
        name: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Subscription<M>, SubscribeError> {
        self.subscribe_to(M::TOPIC, name, options)
    }

    /// Creates a subscription as [`subscribe`](Node::subscribe) does, for the topic with this name.
    ///
    /// # Errors
    /// [`SubscribeError`] if the topic refuses the subscription.
    pub fn subscribe_to<M: Message>(
        &self,
        topic: &str,
        name: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Subscription<M>, SubscribeError> {
        self.topics.outside_subscription(topic, name, options.into())
    }

    /// Creates a publisher for code outside the services. Emit after the start: services subscribe
    /// at the start, so an earlier message reaches only subscriptions that were created [before the
    /// start](Node::subscribe). While the publisher exists, subscriptions of its topic do not end
    /// before a shutdown.
    ///
    /// # Errors
    /// [`BuildError`] if the topic refuses the publisher.
    pub fn publisher<M: Message>(&self, name: &str) -> Result<Publisher<M>, BuildError> {
        self.publisher_to(M::TOPIC, name)
    }

    /// Creates a publisher as [`publisher`](Node::publisher) does, for the topic with this name.
    ///
    /// # Errors
    /// [`BuildError`] if the topic refuses the publisher.
    pub fn publisher_to<M: Message>(
        &self,
        topic: &str,
        name: &str,
    ) -> Result<Publisher<M>, BuildError> {
        self.topics.outside_publisher(topic, name)
    }

    /// Prepares the node for a test: everything runs on the node's own executor, without threads,
    /// and the probe records it.
    #[cfg(feature = "testing")]
    pub(crate) fn prepare_for_test(&mut self, probe: &Arc<Probe>) -> Result<(), BuildError> {
        self.watchdog = None;
        self.telemetry = Telemetry::default();
        // Drops warnings of topics with one side only, because the test is the other side.
        self.warnings.clear();
        for service in &mut self.services {
            service.execution = Execution::default();
        }
        probe.capture::<DeadLetter>(&self.topics.of::<DeadLetter>(DeadLetter::TOPIC)?)?;
        self.probe = Some(probe.clone());
        Ok(())
    }

    /// Returns the kind of executor that the topology requests for the node.
    #[cfg(feature = "testing")]
    pub(crate) fn requested_executor(&self) -> Option<&str> {
        self.plan.settings.executor.as_deref()
    }

    /// Runs the node on `executor` until its services have ended. SIGINT (Ctrl-C) or SIGTERM shuts
    /// it down; a second signal, at least a tenth of a second later, is the deadline of the
    /// shutdown. Needs the feature `signals`.
    ///
    /// # Errors
    /// [`StartError`]: the node did not start, a service failed permanently, or services were
    /// abandoned at the shutdown's deadline.
    #[cfg(feature = "signals")]
    pub fn run(self, executor: impl Executor) -> SendFuture<Result<Report, StartError>> {
        // Boxes the future, so that it has no type parameter and a wrong executor is one compiler
        // error.
        Box::pin(self.run_on(Arc::new(executor)))
    }

    #[cfg(feature = "signals")]
    async fn run_on(self, executor: Arc<dyn Executor>) -> Result<Report, StartError> {
        let running = self.start(executor)?;
        let node = running.node.clone();
        let mut join = pin!(running.join());
        let mut interrupted = false;
        loop {
            match select(join, node.executor.interrupted()).await {
                Either::Left((report, _)) => return report,
                Either::Right((Err(error), join)) => {
                    log::warn!(
                        node = node.plan.node,
                        %error,
                        "the node cannot handle signals: Ctrl-C ends the process at once"
                    );
                    return join.await;
                }
                Either::Right((Ok(()), again)) => {
                    node.lifecycle.shut_down();
                    if std::mem::replace(&mut interrupted, true) {
                        node.lifecycle.overdue.set();
                    }
                    // Signals are ignored during this time, because no task waits for them.
                    let until = node.executor.now().saturating_add(ONE_SIGNAL);
                    match select(again, node.executor.sleep_until(until)).await {
                        Either::Left((report, _)) => return report,
                        Either::Right(((), again)) => join = again,
                    }
                }
            }
        }
    }

    /// Starts the node on `executor`.
    ///
    /// All subscriptions and publishers are created before any service runs, so the order of the
    /// start loses no message.
    ///
    /// # Errors
    /// [`StartError`]: the topology names another executor, or a service cannot be executed as
    /// requested: its executor is unknown or cannot run it, or the system refuses its thread. In
    /// this case no service has run, and no thread is left.
    pub fn start(mut self, executor: impl Executor) -> Result<Running, StartError> {
        #[cfg(unix)]
        launcher::follow_by_node(&self.plan.node, self.plan.settings.shutdown);
        let executor: Arc<dyn Executor> = Arc::new(executor);
        let given = executor.name();
        if let Some(asked) = &self.plan.settings.executor
            && asked != kind(&given)
        {
            let (node, asked) = (self.plan.node.clone(), asked.clone());
            let place = self.plan.places.of(Setting::NodeExecutor(&node));
            let problem = format!(
                "the topology requests executor `{asked}` for node `{node}`, but the node was \
                 started on `{given}`: start it on `{asked}`, or change the key"
            );
            return Err(StartError::at(place, Code::OTHER_EXECUTOR, problem));
        }
        let place = || self.plan.places.of(Setting::NodeQueue(&self.plan.node));
        let queue = self.plan.settings.queue;
        let executor =
            in_queue(executor, queue, || (format!("node `{}`", self.plan.node), place()))?;
        self.plan.check_huge_pages(PageSize::free_huge)?;
        self.telemetry.bind(&self.plan)?;
        let mut resolved = Vec::new();
        for service in &self.services {
            let executor = choose(&self.plan, &executor, &self.executors, service)?;
            let (name, execution) = (service.name.clone(), service.execution.clone());
            let place = || self.plan.places.of(Setting::Queue(&name));
            let executor =
                in_queue(executor, execution.queue, || (format!("service `{name}`"), place()))?;
            if service.is_local && !execution.has_own_thread() && !executor.runs_local() {
                let place = self.plan.places.of(Setting::Execution(&name));
                let problem = format!(
                    "service `{name}` is not Send and cannot run on `{}`, which moves tasks between \
                     threads: give it a thread of its own (`run = \"dedicated\"` in \
                     `[service.{name}]`, or `Execution::dedicated()`), run it where local tasks run \
                     (`execution::tokio::local`), or make it Send",
                    executor.name()
                );
                return Err(StartError::at(place, Code::SERVICE_NOT_SEND, problem));
            }
            let ports = self.plan.ports(&name);
            resolved.push(Resolved { name, ports, execution, executor });
        }
        // Drops warnings of topics whose other side is code outside the services.
        self.warnings.retain(|warning| match warning {
            StartWarning::NoPublisher { topic, .. } => !self.topics.has_outside_publisher(topic),
            StartWarning::UnusedFastHandler { topic, .. } => {
                !self.topics.has_outside_publisher(topic)
            }
            StartWarning::NoReader { topic, .. } => !self.topics.has_outside_subscription(topic),
            StartWarning::EmptyNode { .. }
            | StartWarning::UnplacedService { .. }
            | StartWarning::NoResponder { .. }
            | StartWarning::UnusedHugePages { .. }
            | StartWarning::PanicsAbort
            | StartWarning::NoDeadLetters { .. } => true,
        });
        let names: Vec<String> = self.services.iter().map(|service| service.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let node = ServiceNode::new(self.plan, self.topics, executor, self.observers, &names);
        #[cfg(feature = "actors")]
        node.actors.set_nodes(Arc::new(RemoteNodes::new(&node, self.peers.clone())));
        #[cfg(feature = "testing")]
        if let Some(probe) = self.probe {
            let _ = node.probe.set(probe);
        }
        note_places();
        let mut prepared = Vec::new();
        let links = Arc::new(OnceLock::new());
        let now = node.executor.now();
        let mut members = members(&node.supervision, &node.plan.supervision, &names, now);
        for (service, resolved) in self.services.into_iter().zip(resolved) {
            let member = members.remove(&resolved.name).expect("each service has a place");
            let service = (service.prepare)(&node, &links, resolved, member);
            prepared.push(service.map_err(|error| node.plan.start_error(error))?);
        }
        node.topics.mailboxes.start();
        #[cfg(feature = "topology")]
        self.legacy.iter().try_for_each(|hub| listen_to_legacy(&node, hub))?;
        // The links start before any service runs, so that readers in other nodes miss no message.
        let notices = LinkNotices {
            plan: node.plan.clone(),
            peers: self.peers.clone(),
            lifecycle: Arc::downgrade(&node.lifecycle),
            topics: Arc::downgrade(&node.topics),
        };
        let setup = LinkSetup {
            plan: &node.plan,
            topics: node.topics.all(),
            executor: &node.executor,
            control: &node.lifecycle.links,
            peers: &self.peers,
            counters: node.topics.counters(),
            on_notice: notices.on_notice(true),
            on_reader_notice: notices.on_notice(false),
            on_failure: notices.on_failure(),
        };
        let _ = links.set(Links::start(&setup, self.attached)?);
        // Leaves topics without readers to the driver, which warns later: code outside the services
        // may subscribe after the start.
        let is_of_readers = |it: &&StartWarning| matches!(it, StartWarning::NoReader { .. });
        let (unread, known): (Vec<_>, Vec<_>) = self.warnings.iter().partition(is_of_readers);
        for warning in known {
            log::warn!(node = node.plan.node, "{warning}");
        }
        let unread = unread.into_iter().cloned().collect();
        let memory = node.plan.memory;
        log::info!(
            node = node.plan.node,
            executor = given,
            services = prepared.len(),
            heap_bytes = memory.heap,
            shared_bytes = memory.shared,
            "node starts"
        );
        let mut links_at_start = node.plan.carriers.links().to_vec();
        let problem = links.get().and_then(|links| links.memory_problem());
        for link in &mut links_at_start {
            if let Some(problem) = problem.filter(|_| link.used == Carrier::SharedMemory) {
                (link.used, link.reason) = (Carrier::UnixSocket, Some(problem.to_owned()));
            }
            log::info!(node = node.plan.node, "{link}");
        }
        let mut threads = NodeThreads::default();
        if let Some(limit) = self.watchdog {
            threads.watchdog = watch(&node, &threads.sinks, limit, &mut prepared)?;
        }
        let metrics_address = self.telemetry.address();
        let placements = self
            .telemetry
            .start(&node, &threads.sinks)
            .and_then(|()| driver::start(&node, &links, &threads, prepared, self.hooks, unread));
        let placements = placements.inspect_err(|_| threads.abort_start())?;
        let report = StartReport {
            placements,
            links: links_at_start,
            memory,
            metrics_address,
            warnings: self.warnings,
        };
        Ok(Running { node, links, report })
    }
}

/// Returns the executor of a service: one that was added by name, or the node's own.
fn choose(
    plan: &Plan,
    own: &Arc<dyn Executor>,
    others: &[(String, Arc<dyn Executor>)],
    service: &Registered,
) -> Result<Arc<dyn Executor>, StartError> {
    let Some(asked) = &service.execution.executor else { return Ok(own.clone()) };
    if let Some((_, executor)) = others.iter().find(|(name, _)| name == asked) {
        return Ok(executor.clone());
    }
    let name = own.name();
    if kind(&name) == asked {
        return Ok(own.clone());
    }
    let known = others.iter().map(|(name, _)| name.clone()).chain([kind(&name).to_owned()]);
    let known: Vec<_> = known.collect();
    let hint = format!("; add it with `Builder::executor(\"{asked}\", ..)`");
    let problem = Problem::unknown("executor", asked, &known, &hint);
    let error = match plan.places.error(Setting::Executor(&service.name), problem) {
        Some(error) => BuildError::Topology(error),
        None => {
            let expected = expected_instead_of(asked, &known);
            wrong_execution(&service.name, &format!("unknown executor `{asked}`: {expected}"))
        }
    };
    Err(error.into())
}

/// Returns the error of a service that cannot be executed as the program requests.
fn wrong_execution(service: &str, problem: &str) -> BuildError {
    let problem = format!("service `{service}` cannot be executed as the program says: {problem}");
    BuildError::new(Code::EXECUTION, problem)
}

/// Listens for clients of the original system, before any service runs.
#[cfg(feature = "topology")]
fn listen_to_legacy(of: &ServiceNode, hub: &Hub) -> Result<(), StartError> {
    let (node, executor, config) = (&*of.plan.node, &of.executor, &hub.config);
    let place = || Some(config.place.clone());
    hub.bind(&**executor)
        .map_err(|error| bind_error(&of.plan, &config.endpoint, place(), error))?;
    let log = Log::new(node, executor.clone());
    let spawned = executor.spawn(Box::pin(log.clone().run(of.lifecycle.links.clone())));
    let service = || format!("(the log of legacy listener {})", config.name);
    spawned.map_err(|error| StartError::Spawn { service: service(), error })?;
    let line = of.topics.counters().line(&format!("legacy={}", config.name));
    hub.start(line, log);
    let (listener, endpoint) = (&*config.name, &config.endpoint);
    log::info!(node, listener, %endpoint, "listens for clients of the original system");
    Ok(())
}

/// Wraps an executor so that it runs tasks with the settings of this queue. `owner` is the setting
/// of the topology that has the queue.
fn in_queue(
    executor: Arc<dyn Executor>,
    queue: TaskQueue,
    owner: impl Fn() -> (String, Option<String>),
) -> Result<Arc<dyn Executor>, StartError> {
    if queue == TaskQueue::default() {
        return Ok(executor);
    }
    executor.task_queue(queue).map_err(|error| {
        let (owner, place) = owner();
        StartError::TaskQueue { owner, place, error }
    })
}

/// Starts the watchdog, which watches all polls of the services. If neither the program nor the
/// topology sets its limit, it does not watch fast handlers, which run within emits, and the node
/// runs without a watchdog if the system refuses the thread.
fn watch(
    node: &ServiceNode,
    sinks: &Arc<Sinks>,
    (limit, is_asked): (Duration, bool),
    services: &mut [Prepared],
) -> Result<Option<Arc<WatchdogHandle>>, StartError> {
    let handle = Arc::new(WatchdogHandle::default());
    if is_asked {
        node.topics.watch_fast_handlers(Arc::new(HandlersToWatch(handle.clone())));
    }
    let watched = services.iter_mut().map(|service| {
        let mark = service.poll_hooks.mark.insert(PollMark::new(&handle)).clone();
        (service.name.clone(), mark)
    });
    match Watchdog::start(node, sinks, &handle, limit, watched) {
        Ok(()) => {
            // Child tasks start after this, and find the watchdog here.
            let _ = node.watchdog.set(handle.clone());
            Ok(Some(handle))
        }
        Err(error) if is_asked => {
            let service = "(the watchdog)".to_owned();
            Err(StartError::Thread { service, place: None, error })
        }
        Err(error) => {
            log::warn!(node = node.plan.node, %error, "the node has no watchdog");
            services.iter_mut().for_each(|service| service.poll_hooks.mark = None);
            Ok(None)
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("plan", &self.plan).finish_non_exhaustive()
    }
}
