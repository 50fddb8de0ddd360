//! A node: the services of one process, from their factories to their report.

mod builder;
mod driver;
mod placing;
mod running;
mod shared;
mod threads;
mod watchdog;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_executor::{Executor, SendFuture};
use mycelium_transports::local::Finisher;

use crate::context::Context;
use crate::dead_letter::DeadLetter;
use crate::error::{BuildError, Result, StartError};
use crate::execution::Execution;
use crate::inbox::AnyInbox;
use crate::launch::Task;
use crate::links::Links;
use crate::observe::Observers;
use crate::plan::{Plan, Ports};
use crate::service::{Service, Wiring};
use crate::supervision::Life;
use placing::Beat;
use watchdog::{Dog, Watchdog, Watched};

pub use builder::Builder;
pub use placing::Placement;
pub use running::{Outcome, Report, Running, ServiceReport};
pub(crate) use shared::{Departure, Shared};

/// Services that fit together, ready to start. See the [crate's example](crate).
pub struct Node {
    plan: Plan,
    services: Vec<Registered>,
    executors: Vec<(String, Arc<dyn Executor>)>,
    hooks: Vec<Hook>,
    observers: Observers,
    watchdog: Option<Duration>,
}

/// What is to be done once all services have ended.
type Hook = Box<dyn FnOnce() -> SendFuture<()> + Send>;

struct Registered {
    name: String,
    ports: Ports,
    /// The type's name, if it stays on one thread.
    local: Option<&'static str>,
    execution: Execution,
    prepare: Prepare,
}

type Prepare = Box<dyn FnOnce(&Arc<Shared>, Asked) -> Result<Prepared, BuildError> + Send>;

/// A service that is to be wired, and how it is to be executed.
struct Asked {
    name: String,
    execution: Execution,
    executor: Arc<dyn Executor>,
}

/// A service that is wired and can be launched.
struct Prepared {
    name: String,
    execution: Execution,
    executor: Arc<dyn Executor>,
    is_send: bool,
    launch: Launch,
    beat: Beat,
    inboxes: Vec<Weak<dyn AnyInbox>>,
    finishers: Vec<(&'static str, Finisher)>,
}

/// Makes the service's task, on the thread where it is to run, for the executor there.
type Launch = Box<dyn FnOnce(Arc<dyn Executor>) -> Task + Send>;

impl Prepared {
    fn into_parts(self) -> (Launch, Beat) {
        (self.launch, self.beat)
    }
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
    #[cfg(feature = "signals")]
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
                    shared.shut_down();
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
    /// If the executor is not the one that the topology asks for, or one of the services cannot be executed as asked: its
    /// executor is not there or cannot run it, or the machine refuses its thread what it is to have. Nothing has run then,
    /// and no thread is left.
    pub fn start(self, executor: impl Executor) -> Result<Running, StartError> {
        let executor: Arc<dyn Executor> = Arc::new(executor);
        let given = executor.name();
        if let Some(asked) = self.plan.topology.executor(&self.plan.node)
            && asked != kind(&given)
        {
            return Err(StartError::Executor { asked: asked.to_owned(), given });
        }
        let mut asked = Vec::new();
        for service in &self.services {
            let executor = choose(&self.plan, &executor, &self.executors, service)?;
            if let (Some(service), false) = (service.local, service.execution.has_own_thread())
                && !executor.runs_local()
            {
                return Err(StartError::LocalService { service, executor: executor.name() });
            }
            let (name, execution) = (service.name.clone(), service.execution.clone());
            asked.push(Asked { name, execution, executor });
        }
        let names: Vec<&str> = self.services.iter().map(|service| &*service.name).collect();
        let shared = Shared::new(self.plan, executor, self.observers, &names)?;
        let mut prepared = Vec::new();
        for (service, asked) in self.services.into_iter().zip(asked) {
            prepared.push((service.prepare)(&shared, asked)?);
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
        let dog = self.watchdog.map(|limit| watch(&shared, limit, &mut prepared)).transpose()?;
        driver::start(&shared, prepared, dog, self.hooks)?;
        Ok(Running { shared })
    }
}

/// What kind of executor has that name: "tokio", of "tokio, 2 workers".
fn kind(name: &str) -> &str {
    name.split(',').next().unwrap_or_default()
}

/// The executor that a service asks for: one that was given by name, or the node's own.
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
    let error = match plan.topology.no_executor(&service.name, known.clone()) {
        Some(error) => BuildError::Topology(error),
        None => BuildError::Execution {
            service: service.name.clone(),
            problem: format!(
                "there is no executor `{asked}`; expected one of: {}",
                known.join(", ")
            ),
        },
    };
    Err(error.into())
}

/// Has the services watched by a thread, from their first poll on.
fn watch(
    shared: &Arc<Shared>,
    limit: Duration,
    services: &mut [Prepared],
) -> Result<Arc<Dog>, StartError> {
    let dog = Arc::new(Dog::default());
    let watched = services.iter_mut().map(|service| {
        let watched = service.beat.watched.insert(Watched::new(&dog)).clone();
        (service.name.clone(), watched)
    });
    Watchdog::start(shared, &dog, limit, watched)
        .map_err(|error| StartError::Thread { service: "(the watchdog)".to_owned(), error })?;
    Ok(dog)
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Wires a service: its subscriptions and publishers exist from now on.
fn prepare<S: Service>(
    shared: &Arc<Shared>,
    asked: Asked,
    factory: Box<dyn FnMut() -> S + Send>,
) -> Result<Prepared, BuildError> {
    let Asked { name, execution, executor } = asked;
    let mut wiring = Wiring::new(shared, &name, &execution);
    let (inputs, outputs) = S::wire(&mut wiring)?;
    let Wiring { pulse, flushers, inboxes, finishers, .. } = wiring;
    let watched = inboxes.iter().map(Arc::downgrade).collect();
    let dead_letters =
        S::ports().can_give_up().then(|| shared.publisher::<DeadLetter>(&name)).transpose()?;
    let mut life = Life {
        factory,
        context: Context::<S>::new(&name, inputs, outputs, shared.clone(), executor.clone()),
        inboxes,
        dead_letters,
        restart: shared.plan.topology.restart(&name),
        line: shared.counters.line(&format!("service={name}")),
        departure: Departure {
            shared: shared.clone(),
            name: name.clone(),
            outcome: Outcome::Abandoned,
        },
    };
    Ok(Prepared {
        name,
        execution,
        executor,
        is_send: S::is_send(),
        launch: Box::new(move |executor| {
            life.context.executor = executor;
            S::launch(life)
        }),
        beat: Beat { pulse, flushers, watched: None },
        inboxes: watched,
        finishers,
    })
}
