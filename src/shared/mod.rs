//! The parts of a running node. Each task or thread of the node has those that it needs.
//!
//! Reading order: `lifecycle` has the phases of the node, `failure` the error with which it will
//! end, `observers` its observers and its health, `services` the states of its services, `topics`
//! the topics and their publishers, `outside` the subscriptions outside the services, `threads` the
//! threads that it started, `sinks` the threads that export its metrics and traces, `poll_mark` the
//! words that its watchdog checks, `task_hooks` what surrounds each poll of a service, and
//! `handler_mark` the words for fast handlers. [`ServiceNode`] has what services use. Nothing here
//! depends on a service's type, a link, or the driver.

mod failure;
mod handler_mark;
mod lifecycle;
pub(crate) mod observers;
mod outside;
mod poll_mark;
#[cfg(feature = "testing")]
pub(crate) mod probe;
mod services;
mod sinks;
pub(crate) mod task_hooks;
mod threads;
mod topics;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use mycelium_core::Message;
use mycelium_executor::Executor;
use mycelium_transports::counters::NodeValue;
use mycelium_transports::local::Publisher;

#[cfg(feature = "actors")]
use crate::actor::Actors;
use crate::plan::Plan;
use crate::shared::observers::Observers;
#[cfg(feature = "testing")]
use crate::shared::probe::Probe;
use crate::supervise::member::Supervision;
use crate::supervise::tree::AtTop;
pub(crate) use handler_mark::HandlersToWatch;
pub(crate) use lifecycle::{Lifecycle, Phase};
pub(crate) use poll_mark::{PollMark, Subject, WatchdogHandle};
pub(crate) use services::{Runs, Services};
pub(crate) use sinks::Sinks;
pub(crate) use threads::Threads;
pub(crate) use topics::{DeadLetterWriter, Topics};

/// How long after the shutdown's deadline the node waits until aborted tasks are dropped.
pub(crate) const ABANDON_WITHIN: Duration = Duration::from_millis(200);

/// The parts of a running node that its services use.
pub(crate) struct ServiceNode {
    pub(crate) plan: Arc<Plan>,
    /// The node's own executor.
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) services: Arc<Services>,
    pub(crate) topics: Arc<Topics>,
    #[cfg(feature = "actors")]
    pub(crate) actors: Actors,
    /// Decides which service runs when.
    pub(crate) supervision: Arc<Supervision>,
    /// Empty if no watchdog runs.
    pub(crate) watchdog: OnceLock<Arc<WatchdogHandle>>,
    /// The test's view of the services. Empty outside of tests.
    #[cfg(feature = "testing")]
    pub(crate) probe: OnceLock<Arc<Probe>>,
}

impl ServiceNode {
    /// Creates the parts of a node with these `services` and `topics`.
    pub(crate) fn new(
        plan: Arc<Plan>,
        topics: Topics,
        executor: Arc<dyn Executor>,
        observers: Observers,
        services: &[&str],
    ) -> Arc<ServiceNode> {
        topics.set_executor(&executor);
        let line = topics.counters().line(&format!("node={}", plan.node));
        line.set(NodeValue::Pid, std::process::id().into());
        let started = executor.wall_clock().duration_since(SystemTime::UNIX_EPOCH);
        line.set(NodeValue::StartedSeconds, started.map_or(0, |since| since.as_secs()));
        observers.expect(services, &plan.supervision, line);
        let others = services.iter().filter(|name| !plan.dead_letters.ends_last(name)).count();
        let lifecycle = Lifecycle::new(&plan.node, plan.settings.shutdown, Arc::new(observers));
        let lifecycle = Arc::new(lifecycle);
        Arc::new(ServiceNode {
            services: Arc::new(Services::new(lifecycle.clone(), services.len(), others)),
            #[cfg(feature = "actors")]
            actors: Actors::with(executor.clone(), topics.counters().clone(), plan.tracer.clone()),
            lifecycle,
            topics: Arc::new(topics),
            supervision: Supervision::new(AtTop::Drain),
            watchdog: OnceLock::new(),
            #[cfg(feature = "testing")]
            probe: OnceLock::new(),
            plan,
            executor,
        })
    }

    /// Reports the events of a service's publisher to the observers of the node.
    pub(crate) fn observe_publisher<M: Message>(&self, service: &str, publisher: &Publisher<M>) {
        let on_stall = self.plan.topic(publisher.topic()).on_stall;
        self.lifecycle.observers.observe_publisher(service, publisher, on_stall);
    }
}
