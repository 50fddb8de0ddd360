//! A node: the services of one process, from their factories to their report.

mod driver;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::{Either, select};
use mycelium_core::Message;
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::{Kind, Reading, Region};
use mycelium_transports::local::{Finisher, Flusher, Policy, Publisher, Pulse, Schema, Topic};

use crate::context::Context;
use crate::dead_letter::DeadLetter;
use crate::error::{BuildError, Result, StartError, SubscribeError};
use crate::inbox::{AnyInbox, Subscription};
use crate::launch::Task;
use crate::plan::{Plan, Ports};
use crate::service::{Service, Wiring};
use crate::shutdown::{Countdown, Latch};
use crate::supervision::Life;
use crate::topology::Topology;

/// How many counter lines a node has room for.
const COUNTER_LINES: usize = 1024;
/// How many dead letters of one service wait to be read.
const DEAD_LETTERS: usize = 16;

/// Services that fit together, ready to start. See the [crate's example](crate).
pub struct Node {
    plan: Plan,
    services: Vec<Registered>,
    hooks: Vec<Hook>,
}

/// Collects the services of a [`Node`].
pub struct Builder {
    name: String,
    topology: Topology,
    services: Vec<Registered>,
    hooks: Vec<Hook>,
}

/// What is to be done once all services have ended.
type Hook = Box<dyn FnOnce() -> SendFuture<()> + Send>;

struct Registered {
    name: String,
    ports: Ports,
    /// The type's name, if it stays on one thread.
    local: Option<&'static str>,
    prepare: Prepare,
}

type Prepare = Box<dyn FnOnce(&Arc<Shared>, String) -> Result<Prepared, BuildError> + Send>;

/// A service that is wired and can be launched.
struct Prepared {
    name: String,
    is_send: bool,
    /// Makes the service's task, on the thread where it is to run.
    launch: Box<dyn FnOnce() -> Task + Send>,
    pulse: Arc<Pulse>,
    flushers: Vec<Flusher>,
    inboxes: Vec<Weak<dyn AnyInbox>>,
    finishers: Vec<(&'static str, Finisher)>,
}

/// What all services of a running node share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) shutdown: Latch,
    /// The shutdown's deadline is now.
    overdue: Latch,
    left: Countdown,
    finished: Latch,
    counters: Arc<Region>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<&'static str, Arc<Topic>>,
    ended: BTreeMap<String, Outcome>,
    /// Topics to which somebody outside the services emits.
    from_outside: BTreeSet<&'static str>,
    error: Option<StartError>,
}

impl Node {
    /// Begins a node. `name` is its section in the topology file.
    #[must_use]
    pub fn builder(name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            topology: Topology::default(),
            services: Vec::new(),
            hooks: Vec::new(),
        }
    }

    /// Bytes of the rings of all publishers.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.plan.memory
    }

    /// Runs the node until its services have ended, on `executor`. Ctrl-C shuts it down; a second one does not wait.
    ///
    /// # Errors
    /// If it did not start, a service failed for good, or services had to be abandoned at the shutdown's deadline.
    pub async fn run(self, executor: impl Executor) -> Result<Report, StartError> {
        let running = self.start(executor)?;
        let shared = running.shared.clone();
        let mut join = pin!(running.join());
        loop {
            match select(join, shared.executor.interrupted()).await {
                Either::Left((report, _)) => return report,
                Either::Right((Err(error), join)) => {
                    tracing::warn!(%error, "cannot listen for Ctrl-C");
                    return join.await;
                }
                Either::Right((Ok(()), again)) => {
                    if !shared.shutdown.set() {
                        shared.overdue.set();
                    }
                    join = again;
                }
            }
        }
    }

    /// Starts the node on `executor`.
    ///
    /// Everything is wired before any service runs, so the order of start loses nothing.
    ///
    /// # Errors
    /// If the executor is not the one that the topology asks for, or cannot run one of the services. Nothing runs
    /// then.
    pub fn start(self, executor: impl Executor) -> Result<Running, StartError> {
        let given = executor.name();
        if let Some(asked) = self.plan.topology.executor(&self.plan.node)
            && !given.starts_with(asked)
        {
            return Err(StartError::Executor { asked: asked.to_owned(), given });
        }
        let local = self.services.iter().find_map(|service| service.local);
        if let Some(service) = local.filter(|_| !executor.runs_local()) {
            return Err(StartError::LocalService { service, executor: given });
        }
        let shared = Arc::new(Shared {
            executor: Arc::new(executor),
            shutdown: Latch::default(),
            overdue: Latch::default(),
            left: Countdown::new(self.services.len()),
            finished: Latch::default(),
            counters: Region::new(COUNTER_LINES),
            state: Mutex::default(),
            plan: self.plan,
        });
        shared.make_topics()?;
        let mut prepared = Vec::new();
        for service in self.services {
            prepared.push((service.prepare)(&shared, service.name)?);
        }
        tracing::info!(
            node = shared.plan.node,
            executor = given,
            services = prepared.len(),
            ring_bytes = shared.plan.memory,
            "node starts"
        );
        let running = Running { shared: shared.clone() };
        driver::start(&shared, prepared, self.hooks)?;
        Ok(running)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Builder {
    /// What the node does differently from the defaults.
    #[must_use]
    pub fn topology(mut self, topology: Topology) -> Builder {
        self.topology = topology;
        self
    }

    /// Adds a service. The factory makes it when the node starts, and again after each panic, on the thread where it
    /// runs.
    #[must_use]
    pub fn service<S: Service>(self, factory: impl FnMut() -> S + Send + 'static) -> Builder {
        self.named_service(S::NAME, factory)
    }

    /// Adds a service under a name of its own, for a second one of the same type.
    #[must_use]
    pub fn named_service<S: Service>(
        mut self,
        name: &str,
        factory: impl FnMut() -> S + Send + 'static,
    ) -> Builder {
        self.services.push(Registered {
            name: name.to_owned(),
            ports: S::ports(),
            local: (!S::is_send()).then(std::any::type_name::<S>),
            prepare: Box::new(move |shared, name| prepare(shared, name, Box::new(factory))),
        });
        self
    }

    /// Adds something to do at the very end, when all services have ended or were abandoned: close what they shared,
    /// say goodbye. Hooks run one after the other, in the reverse of their order here, and have as long as the services
    /// have at a shutdown.
    #[must_use]
    pub fn on_stop<F: Future<Output = ()> + Send + 'static>(
        mut self,
        hook: impl FnOnce() -> F + Send + 'static,
    ) -> Builder {
        self.hooks.push(Box::new(move || Box::pin(hook())));
        self
    }

    /// Checks that the services fit together. If the topology places services on this node, exactly those are part
    /// of it, in that order; otherwise all are.
    ///
    /// # Errors
    /// If names or ids collide, the topology does not fit, services would hold each other up, or the rings would take
    /// more memory than the node may use.
    pub fn build(self) -> Result<Node, BuildError> {
        let mut names = BTreeSet::new();
        for service in &self.services {
            if !names.insert(service.name.as_str()) {
                return Err(BuildError::DuplicateService { name: service.name.clone() });
            }
        }
        let known: Vec<&str> = names.into_iter().collect();
        let placed = self.topology.place(&self.name, &known)?;
        let mut services = self.services;
        if let Some(placed) = placed {
            services.retain(|service| placed.contains(&service.name));
            services.sort_by_key(|service| placed.iter().position(|name| *name == service.name));
        }
        let ports: Vec<_> =
            services.iter().map(|service| (service.name.clone(), service.ports.clone())).collect();
        let plan = Plan::new(&self.name, self.topology, &ports)?;
        Ok(Node { plan, services, hooks: self.hooks })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.services.iter().map(|service| &service.name).collect();
        f.debug_struct("Builder").field("name", &self.name).field("services", &services).finish()
    }
}

/// Wires a service: its subscriptions and publishers exist from now on.
fn prepare<S: Service>(
    shared: &Arc<Shared>,
    name: String,
    factory: Box<dyn FnMut() -> S + Send>,
) -> Result<Prepared, BuildError> {
    let mut wiring = Wiring::new(shared, &name);
    let (inputs, outputs) = S::wire(&mut wiring)?;
    let Wiring { pulse, flushers, inboxes, finishers, .. } = wiring;
    let watched = inboxes.iter().map(Arc::downgrade).collect();
    // Who reads the dead letters has nowhere to put its own.
    let reads_dead_letters = finishers.iter().any(|(topic, _)| *topic == DeadLetter::TOPIC);
    let dead_letters = (!inboxes.is_empty() && !reads_dead_letters)
        .then(|| shared.publisher::<DeadLetter>(&name))
        .transpose()?;
    let life = Life {
        factory,
        context: Context::<S>::new(&name, inputs, outputs, shared.clone()),
        inboxes,
        dead_letters,
        restart: shared.plan.topology.restart(&name),
        line: shared.counters.line(Kind::Service, &format!("service={name}")),
        departure: Departure {
            shared: shared.clone(),
            name: name.clone(),
            outcome: Outcome::Abandoned,
        },
    };
    Ok(Prepared {
        name,
        is_send: S::is_send(),
        launch: Box::new(move || S::launch(life)),
        pulse,
        flushers,
        inboxes: watched,
        finishers,
    })
}

impl Shared {
    fn make_topics(&self) -> Result<(), BuildError> {
        let mut state = self.state();
        for (name, planned) in &self.plan.topics {
            let capacity = self.plan.topology.capacity(name);
            let topic = Topic::new(name, planned.schema, capacity, self.counters.clone())?;
            state.topics.insert(name, topic);
        }
        Ok(())
    }

    /// The topic of `M`, made now if no service named it.
    pub(crate) fn topic<M: Message>(&self) -> Result<Arc<Topic>, BuildError> {
        let mut state = self.state();
        if let Some(topic) = state.topics.get(M::TOPIC) {
            return Ok(topic.clone());
        }
        let schema = Schema::of::<M>();
        if let Some(other) = state.topics.values().find(|topic| topic.schema().id == M::ID) {
            let (first, second) = (other.schema().name, schema.name);
            return Err(BuildError::DuplicateId { id: M::ID, first, second });
        }
        let capacity = if M::TOPIC == DeadLetter::TOPIC {
            DEAD_LETTERS
        } else {
            self.plan.topology.capacity(M::TOPIC)
        };
        let topic = Topic::new(M::TOPIC, schema, capacity, self.counters.clone())?;
        state.topics.insert(M::TOPIC, topic.clone());
        Ok(topic)
    }

    pub(crate) fn publisher<M: Message>(&self, name: &str) -> Result<Publisher<M>, BuildError> {
        Ok(self.topic::<M>()?.publisher(name, self.executor.entropy())?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says how a service ended, when it is dropped.
pub(crate) struct Departure {
    shared: Arc<Shared>,
    name: String,
    pub(crate) outcome: Outcome,
}

impl Drop for Departure {
    fn drop(&mut self) {
        if let Outcome::Failed { error } = &self.outcome {
            let restart = self.shared.plan.topology.restart(&self.name);
            self.shared.state().error.get_or_insert(StartError::ServiceFailed {
                service: self.name.clone(),
                error: error.clone(),
                restarts: restart.limit,
                window: restart.window,
            });
            self.shared.shutdown.set();
        }
        self.shared.state().ended.insert(self.name.clone(), self.outcome.clone());
        self.shared.left.count_down();
    }
}

/// How a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its `run` returned.
    Completed,
    /// It failed more often than it may.
    Failed {
        /// The last error or panic.
        error: String,
    },
    /// It had not ended at the deadline of the shutdown.
    Abandoned,
}

/// How a node ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Its services, by name.
    pub services: Vec<ServiceReport>,
    /// The last state of all counters.
    pub counters: Vec<Reading>,
}

/// How a service ended, and what it went through.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was started.
    pub starts: u64,
    /// How often it returned an error.
    pub errors: u64,
    /// How often it panicked.
    pub panics: u64,
}

/// A node that runs. Dropping it asks the node to shut down.
pub struct Running {
    shared: Arc<Shared>,
}

impl Running {
    /// Asks the node to shut down: sources end, what they sent is received, then `recv` yields `None` everywhere. What
    /// has not ended at the deadline is abandoned. Asking again changes nothing.
    pub fn shutdown(&self) {
        self.shared.shutdown.set();
    }

    /// Waits until all services have ended.
    ///
    /// # Errors
    /// If a service failed for good, or services had to be abandoned at the shutdown's deadline.
    pub async fn join(self) -> Result<Report, StartError> {
        self.shared.finished.wait().await;
        let mut state = self.shared.state();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        let counters = self.shared.counters.read();
        let services = state.ended.iter().map(|(name, outcome)| {
            let line = counters
                .iter()
                .find(|line| line.kind == Kind::Service && line.label("service") == name);
            let value = |value| line.map_or(0, |line| line.value(value));
            ServiceReport {
                name: name.clone(),
                outcome: outcome.clone(),
                starts: value("starts"),
                errors: value("errors"),
                panics: value("panics"),
            }
        });
        Ok(Report { services: services.collect(), counters })
    }

    /// What all counters say now.
    #[must_use]
    pub fn counters(&self) -> Vec<Reading> {
        self.shared.counters.read()
    }

    /// A publisher for somebody outside the services: another thread, another runtime.
    ///
    /// At shutdown, subscriptions to its topic end when they are empty, though it may still be there.
    ///
    /// # Errors
    /// If the topic cannot take it.
    pub fn publisher<M: Message>(&self, name: &str) -> Result<Publisher<M>, BuildError> {
        self.shared.state().from_outside.insert(M::TOPIC);
        self.shared.publisher(name)
    }

    /// A subscription for somebody outside the services. It starts with the first message whose emit begins after
    /// this returns.
    ///
    /// # Errors
    /// If the topic cannot take it.
    pub fn subscribe<M: Message>(
        &self,
        name: &str,
        policy: Policy,
    ) -> Result<Subscription<M>, SubscribeError> {
        let topic = self.shared.topic::<M>().map_err(|error| match error {
            BuildError::Topic(error) => SubscribeError::Topic(error),
            other => SubscribeError::Refused { reason: other.to_string() },
        })?;
        topic.subscribe(name, policy).map(Subscription::free).map_err(SubscribeError::Topic)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.shutdown.set();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("node", &self.shared.plan.node).finish_non_exhaustive()
    }
}
