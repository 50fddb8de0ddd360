//! Places services on a shared executor, or on their own threads.

use std::fmt;
use std::sync::Arc;

use futures_util::future::AbortRegistration;
use mycelium_executor::{Class, Executor, GrantedPlacement, SpawnError, Thread, ThreadError};
use mycelium_transports::link::dedicated_to;

use super::prepare::Prepared;
use crate::error::StartError;
use crate::observe::Event;
use crate::shared::observers::Observers;
use crate::shared::task_hooks::{Placed, TaskHooks};
use crate::shared::{ServiceNode, Threads};
use crate::supervise::execution::{Execution, Run};
use crate::support::log;
use crate::task::launch::Launch;
use crate::topology::Setting;

/// How a service is executed: the requested execution, and the execution that the system granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// The service.
    pub service: String,
    /// The execution that the topology and the program request.
    pub asked: Execution,
    /// The name of the shared executor, or the kind of the executor on the service's own thread.
    pub executor: String,
    /// The name of the service's own thread, if it has one.
    pub thread: Option<String>,
    /// The cores to which the service's own thread is pinned. Empty for a shared executor, or if
    /// the system does not report them.
    pub cores: Vec<usize>,
    /// The scheduling class of the service's own thread.
    pub class: Class,
    /// The settings that the system refused; the service runs without them.
    pub refused: Vec<ThreadError>,
}

/// Formats one sentence about the granted execution.
impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` runs ", self.service)?;
        match &self.thread {
            Some(thread) => write!(f, "on thread `{thread}` of `{}`", self.executor)?,
            None => write!(f, "in `{}`", self.executor)?,
        }
        if !self.cores.is_empty() {
            write!(f, ", cores {:?}", self.cores)?;
        }
        if let Class::Fifo(priority) = self.class {
            write!(f, ", SCHED_FIFO {priority}")?;
        }
        self.refused.iter().try_for_each(|refused| write!(f, "; refused: {refused}"))
    }
}

/// Returns the kind of the executor with this name, such as `tokio` for `tokio, 2 workers`.
pub(super) fn kind(name: &str) -> &str {
    name.split(',').next().unwrap_or_default()
}

/// Places a service on its executor or thread, where it waits until all services are placed.
pub(super) fn place(
    node: &ServiceNode,
    threads: &Arc<Threads>,
    service: Prepared,
    registration: AbortRegistration,
) -> Result<Placement, StartError> {
    let (name, asked) = (service.name.clone(), service.execution.clone());
    let executor = service.executor.clone();
    let mut placement = Placement {
        service: name.clone(),
        executor: executor.name(),
        thread: None,
        cores: Vec::new(),
        class: Class::Normal,
        refused: Vec::new(),
        asked: asked.clone(),
    };
    if asked.has_own_thread() {
        let thread = Thread {
            name: asked.thread.unwrap_or_else(|| name.clone()),
            cores: if let Run::Pinned(cores) = asked.run { cores } else { Vec::new() },
            class: asked.class,
            fallback: asked.if_refused,
        };
        placement.executor = kind(&placement.executor).to_owned();
        placement.thread = Some(thread.name.clone());
        let threads = (threads, node.lifecycle.observers.clone());
        let granted = dedicate(threads, &*executor, thread, service, registration);
        let GrantedPlacement { cores, class, refused } = granted.map_err(|error| {
            let place = node.plan.places.of(match error {
                ThreadError::Class { .. } => Setting::Class(&name),
                _ => Setting::Run(&name),
            });
            StartError::Thread { service: name, place, error }
        })?;
        (placement.cores, placement.class, placement.refused) = (cores, class, refused);
    } else {
        let shares = share(&executor, service, registration);
        shares.map_err(|error| StartError::Spawn { service: name, error })?;
    }
    report(&placement);
    Ok(placement)
}

fn report(placement: &Placement) {
    let Placement { service, asked, .. } = placement;
    if placement.refused.is_empty() {
        log::info!(service, %asked, "service {placement}");
    } else {
        log::warn!(service, %asked, "service {placement}");
    }
}

fn share(
    executor: &Arc<dyn Executor>,
    service: Prepared,
    registration: AbortRegistration,
) -> Result<(), SpawnError> {
    let hooks = TaskHooks::new(service.poll_hooks, registration);
    let placed = Placed { executor: executor.clone(), hooks };
    match service.launch {
        Launch::Send(launch) => executor.spawn(launch(placed)),
        Launch::Local(launch) => executor.spawn_local(Box::new(move || launch(placed))),
    }
}

fn dedicate(
    (threads, observers): (&Arc<Threads>, Arc<Observers>),
    executor: &dyn Executor,
    thread: Thread,
    service: Prepared,
    registration: AbortRegistration,
) -> Result<GrantedPlacement, ThreadError> {
    let thread_guard = threads.start(&thread.name);
    let name = thread.name.clone();
    executor.dedicate(
        thread,
        Box::new(move |own| {
            thread_guard.of_this_thread();
            dedicated_to(&own);
            let events = ThreadEvents::begin(observers, name, service.name.clone());
            let hooks = TaskHooks::new(service.poll_hooks, registration);
            let task = service.launch.here(Placed { executor: own, hooks });
            Box::pin(async {
                let _events = events;
                task.await;
            })
        }),
    )
}

/// When dropped, notifies observers that a service's own thread has stopped. Dropped with the
/// service, also if the service was aborted.
struct ThreadEvents {
    observers: Arc<Observers>,
    thread: String,
    service: String,
}

impl ThreadEvents {
    fn begin(observers: Arc<Observers>, thread: String, service: String) -> ThreadEvents {
        observers.notify(&Event::ThreadStarted { thread: &thread, service: &service });
        ThreadEvents { observers, thread, service }
    }
}

impl Drop for ThreadEvents {
    fn drop(&mut self) {
        let ThreadEvents { observers, thread, service } = self;
        observers.notify(&Event::ThreadStopped { thread, service });
    }
}
