//! A node: the services of one process, from their factories to their report.

mod builder;
mod driver;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use futures_util::future::{Either, select};
use mycelium_core::Message;
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::counters::{Kind, Region};
use mycelium_transports::local::{Finisher, Flusher, Publisher, Pulse, Schema, Topic};

use crate::context::Context;
use crate::dead_letter::DeadLetter;
use crate::error::{BuildError, Result, StartError};
use crate::inbox::AnyInbox;
use crate::launch::Task;
use crate::links::Links;
use crate::plan::{Plan, Ports};
use crate::service::{Service, Wiring};
use crate::shutdown::{Countdown, Latch};
use crate::supervision::Life;

pub use builder::Builder;
pub use running::{Outcome, Report, Running, ServiceReport};

/// How many counter lines a node has room for.
const COUNTER_LINES: usize = 1024;

/// Services that fit together, ready to start. See the [crate's example](crate).
pub struct Node {
    plan: Plan,
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
    /// With other nodes. Set before anything runs.
    links: OnceLock<Links>,
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
        Builder::new(name)
    }

    /// Bytes of the rings of all publishers.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.plan.memory
    }

    /// The name of the node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.node
    }

    /// The nodes of the topology that this one reads from.
    pub fn reads_from(&self) -> impl Iterator<Item = &str> {
        self.plan.neighbours.publishers.keys().map(String::as_str)
    }

    /// Runs the node until its services have ended, on `executor`. Ctrl-C shuts it down; a second one does not wait.
    ///
    /// # Errors
    /// If it did not start, a service failed for good, or services had to be abandoned at the shutdown's deadline.
    pub async fn run(self, executor: impl Executor) -> Result<Report, StartError> {
        let running = self.start(executor)?;
        let shared = running.shared.clone();
        let mut join = pin!(running.join());
        let mut interrupted = false;
        loop {
            match select(join, shared.executor.interrupted()).await {
                Either::Left((report, _)) => return report,
                Either::Right((Err(error), join)) => {
                    tracing::warn!(%error, "cannot listen for Ctrl-C");
                    return join.await;
                }
                Either::Right((Ok(()), again)) => {
                    shared.shutdown.set();
                    if std::mem::replace(&mut interrupted, true) {
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
        let kind = given.split(',').next().unwrap_or_default();
        if let Some(asked) = self.plan.topology.executor(&self.plan.node)
            && asked != kind
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
            links: OnceLock::new(),
            plan: self.plan,
        });
        shared.make_topics()?;
        let mut prepared = Vec::new();
        for service in self.services {
            prepared.push((service.prepare)(&shared, service.name)?);
        }
        // Who reads in other nodes misses nothing either.
        let _ = shared.links.set(Links::start(&shared)?);
        shared.plan.warn_of_loose_ends();
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
    let dead_letters =
        S::ports().can_give_up().then(|| shared.publisher::<DeadLetter>(&name)).transpose()?;
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
            let capacity = self.plan.capacity(name);
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
        let capacity = self.plan.capacity(M::TOPIC);
        let topic = Topic::new(M::TOPIC, schema, capacity, self.counters.clone())?;
        state.topics.insert(M::TOPIC, topic.clone());
        Ok(topic)
    }

    /// A publisher whose end the node cannot wait for: subscriptions to its topic end when they are empty.
    pub(crate) fn outside_publisher<M: Message>(
        &self,
        name: &str,
    ) -> Result<Publisher<M>, BuildError> {
        self.state().from_outside.insert(M::TOPIC);
        self.publisher(name)
    }

    pub(crate) fn publisher<M: Message>(&self, name: &str) -> Result<Publisher<M>, BuildError> {
        Ok(self.topic::<M>()?.publisher(name, self.executor.entropy())?)
    }

    /// A topic that a service named.
    pub(crate) fn named_topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.state().topics.get(name).cloned()
    }

    /// All topics that there are.
    pub(crate) fn topics(&self) -> impl Iterator<Item = Arc<Topic>> + use<> {
        let topics: Vec<_> = self.state().topics.values().cloned().collect();
        topics.into_iter()
    }

    pub(crate) fn counters(&self) -> &Arc<Region> {
        &self.counters
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
        if let Outcome::Failed { error, restarts } = &self.outcome {
            let window = self.shared.plan.topology.restart(&self.name).window;
            self.shared.state().error.get_or_insert(StartError::ServiceFailed {
                service: self.name.clone(),
                error: error.clone(),
                restarts: *restarts,
                window,
            });
            self.shared.shutdown.set();
        }
        self.shared.state().ended.insert(self.name.clone(), self.outcome.clone());
        self.shared.left.count_down();
    }
}
