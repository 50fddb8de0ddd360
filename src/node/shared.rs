//! What the services of a running node, its driver and its owner share: how far it is, and what has become of each service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mycelium_core::Message;
use mycelium_executor::Executor;
use mycelium_transports::counters::Region;
use mycelium_transports::exchange::{LayoutMismatch, Notice};
use mycelium_transports::local::{KeepOpen, Publisher, Schema, Topic, Undelivered};

use super::threads::Threads;
use super::{Outcome, Placement};
use crate::dead_letter::DeadLetter;
use crate::error::{BuildError, StartError};
use crate::links::Links;
use crate::observe::{Event, Observers, Phase, Phases};
use crate::plan::Plan;
use crate::shutdown::{Countdown, Latch};

/// How many counter lines a node has room for.
const COUNTER_LINES: usize = 1024;

/// What all services of a running node share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    /// That of the node itself.
    pub(crate) executor: Arc<dyn Executor>,
    /// All services are placed, and may run.
    pub(crate) placed: Latch,
    /// Set by [`shut_down`](Shared::shut_down) only.
    pub(crate) shutdown: Latch,
    /// Somebody wants it set.
    is_unwanted: AtomicBool,
    phases: Phases,
    pub(crate) observers: Observers,
    /// The shutdown's deadline is now.
    pub(super) overdue: Latch,
    /// Services that have not been started.
    pub(crate) unstarted: Countdown,
    /// Services that have not ended.
    pub(super) left: Countdown,
    /// Those of them that do not wait for dead letters.
    pub(super) others_left: Countdown,
    /// How many of these have not said that they are about to end.
    unannounced: AtomicUsize,
    /// The driver has seen all services off, or given them up.
    pub(super) seen_off: AtomicBool,
    /// The services' own threads.
    pub(super) threads: Arc<Threads>,
    pub(super) placements: OnceLock<Vec<Placement>>,
    pub(super) finished: Latch,
    pub(super) counters: Arc<Region>,
    state: Mutex<State>,
    /// With other nodes. Set before anything runs.
    pub(super) links: OnceLock<Links>,
}

#[derive(Default)]
pub(super) struct State {
    topics: BTreeMap<&'static str, Arc<Topic>>,
    /// Services that have run.
    started: BTreeSet<String>,
    pub(super) ended: BTreeMap<String, Outcome>,
    /// Topics to which somebody outside the services emits.
    pub(super) from_outside: BTreeSet<&'static str>,
    pub(super) error: Option<StartError>,
    /// As long as a service or a link may give a message up, and somebody here reads dead letters.
    letters: Option<KeepOpen>,
}

impl Shared {
    /// With all topics of the plan.
    pub(super) fn new(
        plan: Plan,
        executor: Arc<dyn Executor>,
        observers: Observers,
        services: &[&str],
    ) -> Result<Arc<Shared>, BuildError> {
        let others = services.iter().filter(|name| !plan.letters.are_awaited_by(name)).count();
        let shared = Shared {
            plan,
            executor,
            placed: Latch::default(),
            shutdown: Latch::default(),
            is_unwanted: AtomicBool::new(false),
            phases: Phases::default(),
            observers,
            overdue: Latch::default(),
            unstarted: Countdown::new(services.len()),
            left: Countdown::new(services.len()),
            others_left: Countdown::new(others),
            unannounced: AtomicUsize::new(others),
            seen_off: AtomicBool::new(false),
            threads: Arc::default(),
            placements: OnceLock::new(),
            finished: Latch::default(),
            counters: Region::new(COUNTER_LINES),
            state: Mutex::default(),
            links: OnceLock::new(),
        };
        shared.make_topics()?;
        Ok(Arc::new(shared))
    }

    fn make_topics(&self) -> Result<(), BuildError> {
        let mut state = self.state();
        for (name, planned) in &self.plan.topics {
            let capacity = self.plan.capacity(name);
            let (schema, counters) = (planned.schema, self.counters.clone());
            let topic = Topic::with_readers(name, schema, capacity, planned.gating, counters)?;
            if *name == DeadLetter::TOPIC && self.plan.letters.are_read() {
                state.letters = Some(topic.keep_open());
            }
            state.topics.insert(name, topic);
        }
        Ok(())
    }

    /// Asks the node to end. Observers learn of it before any service can.
    pub(crate) fn shut_down(&self) {
        self.is_unwanted.store(true, Ordering::SeqCst);
        self.reach(Phase::Draining);
    }

    /// The node reaches a phase of its life, and observers are told.
    pub(super) fn reach(&self, phase: Phase) {
        let node = &*self.plan.node;
        self.phases.reach(phase, |phase| {
            self.observers.tell(&match phase {
                Phase::Starting | Phase::Ready => Event::NodeReady { node },
                Phase::Draining => Event::NodeDraining { node },
                Phase::Stopped => Event::NodeStopped { node },
            });
        });
        // If another thread is telling, it does this when it has: it looks after that.
        if self.phases.told() >= Phase::Draining && self.is_unwanted.load(Ordering::SeqCst) {
            self.shutdown.set();
        }
    }

    /// A service has ended, or is not waited for any more.
    pub(super) fn end(&self, service: &str, outcome: &Outcome) {
        let mut state = self.state();
        let has_ended = state.ended.insert(service.to_owned(), outcome.clone()).is_some();
        let is_news = !has_ended && state.started.contains(service);
        drop(state);
        if is_news {
            self.observers.tell(&Event::ServiceStopped { service, outcome });
        }
    }

    /// Services are not waited for any more: the shutdown's deadline is over.
    pub(super) fn abandon(&self, services: Vec<String>) {
        tracing::error!(node = self.plan.node, ?services, "abandoned at the shutdown's deadline");
        services.iter().for_each(|service| self.end(service, &Outcome::Abandoned));
        match &mut self.state().error {
            // Both are to be known.
            Some(StartError::Undelivered { abandoned, .. }) => abandoned.extend(services),
            Some(_) => {}
            error => *error = Some(StartError::Abandoned { services, deadline: self.patience() }),
        }
    }

    /// Messages for other nodes, by node and topic, are not waited for any more. What waited for them was abandoned, perhaps.
    pub(super) fn leave_undelivered(&self, left: Vec<(String, String, usize)>) {
        let mut state = self.state();
        let (abandoned, first) = match state.error.take() {
            Some(StartError::Abandoned { services, .. }) => (services, None),
            first => (Vec::new(), first),
        };
        let error = StartError::Undelivered { left, patience: self.patience(), abandoned };
        tracing::error!(node = self.plan.node, %error, "gives up");
        state.error = Some(first.unwrap_or(error));
    }

    /// Nothing is left to be done.
    pub(super) fn finish(&self) {
        self.reach(Phase::Draining);
        self.reach(Phase::Stopped);
        self.finished.set();
    }

    /// How long a shutdown may take.
    pub(super) fn patience(&self) -> Duration {
        self.plan.topology.shutdown(&self.plan.node)
    }

    /// A service is about to run; `error` ended its run before.
    pub(crate) fn starts(&self, service: &str, error: Option<&str>) {
        match error {
            Some(error) => self.observers.tell(&Event::ServiceRestarted { service, error }),
            None => {
                self.state().started.insert(service.to_owned());
                self.observers.tell(&Event::ServiceStarted { service });
                self.unstarted.count_down();
            }
        }
    }

    /// The topic of `M`, made now if no service named it.
    pub(crate) fn topic<M: Message>(&self) -> Result<Arc<Topic>, BuildError> {
        let mut state = self.state();
        if let Some(topic) = state.topics.get(M::TOPIC) {
            return Ok(topic.clone());
        }
        let schema = Schema::of::<M>();
        if let Some(other) = state.topics.values().find(|topic| topic.schema().id == M::ID) {
            let (first, second) = (other.schema().name(), schema.name());
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

    /// Publishes a message that a link has given up, if anybody here reads dead letters.
    fn bury(&self, undelivered: &Undelivered) {
        if self.plan.topics.contains_key(DeadLetter::TOPIC)
            && let Ok(mut letters) = self.publisher::<DeadLetter>("links")
        {
            // A reader that is too slow for dead letters misses some.
            let _ = letters.try_emit(DeadLetter::from(undelivered));
        }
    }

    pub(crate) fn publisher<M: Message>(&self, name: &str) -> Result<Publisher<M>, BuildError> {
        Ok(self.topic::<M>()?.publisher(name, self.executor.entropy())?)
    }

    /// Nothing gives up a message any more that somebody here could read of.
    pub(super) fn end_letters(&self) {
        let letters = self.state().letters.take();
        drop(letters);
    }

    /// A topic that services here read has another layout at another node: they can never read it, and the node ends.
    fn cannot_read(&self, peer: &str, topic: &str, mismatch: &LayoutMismatch) {
        let error = StartError::Layout {
            node: self.plan.node.clone(),
            peer: peer.to_owned(),
            topic: topic.to_owned(),
            services: self.plan.readers(topic),
            mismatch: Box::new(mismatch.clone()),
        };
        self.state().error.get_or_insert(error);
        self.shut_down();
    }

    /// Handles notices of links that concern the whole node. The links belong to the node, so this
    /// does not keep it.
    pub(super) fn on_notice(self: &Arc<Self>) -> Arc<dyn Fn(&Notice<'_>) + Send + Sync> {
        let shared = Arc::downgrade(self);
        Arc::new(move |notice| match (notice, shared.upgrade()) {
            (Notice::TopicLayoutDiffers { peer, topic, mismatch }, Some(shared)) => {
                shared.cannot_read(peer, topic, mismatch);
            }
            (Notice::DeadLettered { undelivered }, Some(shared)) => shared.bury(undelivered),
            _ => {}
        })
    }

    /// All topics that there are.
    pub(super) fn topics(&self) -> impl Iterator<Item = Arc<Topic>> + use<> {
        let topics: Vec<_> = self.state().topics.values().cloned().collect();
        topics.into_iter()
    }

    pub(crate) fn counters(&self) -> &Arc<Region> {
        &self.counters
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says how a service ended, when it is dropped.
pub(crate) struct Departure {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(crate) outcome: Outcome,
}

impl Departure {
    /// The service is about to end for good. If it is the last one, links confirm what subscriptions were done with, and not
    /// what they leave behind.
    pub(crate) fn announce(&self) {
        let letters = &self.shared.plan.letters;
        if !letters.are_awaited_by(&self.name)
            && self.shared.unannounced.fetch_sub(1, Ordering::SeqCst) == 1
            && !letters.cross_links
            && let Some(links) = self.shared.links.get()
        {
            links.leave();
        }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.shared.end(&self.name, &self.outcome);
        if let Outcome::Failed { error, restarts } = &self.outcome {
            let window = self.shared.plan.topology.restart(&self.name).window;
            self.shared.state().error.get_or_insert(StartError::ServiceFailed {
                service: self.name.clone(),
                error: error.clone(),
                restarts: *restarts,
                window,
            });
            self.shared.shut_down();
        }
        if !self.shared.plan.letters.are_awaited_by(&self.name) {
            self.shared.others_left.count_down();
        }
        self.shared.left.count_down();
    }
}
