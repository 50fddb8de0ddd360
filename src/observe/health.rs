//! The health of a node and of its services, computed from their events alone. `docs/guarantees.md`
//! defines each state.
//!
//! [`Health`] depends only on events, so a program can feed it events itself. The node does so in
//! `observers.rs`.

use std::collections::BTreeMap;
use std::fmt;

use crate::observe::Event;
use crate::observe::health_state::HealthState;

/// Why a started node is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthCause {
    /// A service failed and waits for its restart.
    BacksOff {
        /// The service.
        service: String,
    },
    /// A service was stopped because another one failed, and waits for its restart.
    Halted {
        /// The service.
        service: String,
    },
    /// A poll of a service hangs. Only a [watchdog](crate::Builder::watchdog) detects this.
    Hangs {
        /// The service.
        service: String,
    },
    /// A ring of a service is nearly full.
    Backpressure {
        /// The service that publishes.
        service: String,
        /// The topic.
        topic: String,
    },
    /// A service no longer waits for a reader, which misses messages.
    Evicted {
        /// The service that publishes.
        service: String,
        /// The topic.
        topic: String,
        /// The reader: a subscription, or another node.
        reader: String,
    },
    /// The connection of a link with another node is lost, and both nodes still need it.
    Disconnected {
        /// The other node.
        peer: String,
        /// Whether this node reads from the other one. If false, the other one reads from this one.
        reads: bool,
    },
}

impl fmt::Display for HealthCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HealthCause::BacksOff { service } => {
                write!(f, "service `{service}` failed and waits for its restart")
            }
            HealthCause::Halted { service } => {
                write!(f, "service `{service}` was stopped, because another one failed")
            }
            HealthCause::Hangs { service } => write!(f, "a poll of service `{service}` hangs"),
            HealthCause::Backpressure { service, topic } => {
                write!(f, "service `{service}`: readers of topic `{topic}` are slow")
            }
            HealthCause::Evicted { service, topic, reader } => {
                write!(f, "service `{service}`: reader `{reader}` of topic `{topic}` was evicted")
            }
            HealthCause::Disconnected { peer, reads: true } => {
                write!(f, "the link to node `{peer}` is lost: this node reads from it")
            }
            HealthCause::Disconnected { peer, reads: false } => {
                write!(f, "the link with node `{peer}` is lost: it reads from this node")
            }
        }
    }
}

/// The health of a node and of each of its services, as a fold of [`Event`]s.
///
/// [`Running::health`](crate::Running::health) returns the health of a running node. A program that
/// collects events can compute it itself: the same events in the same order give the same health.
///
/// ```
/// use std::time::Duration;
///
/// use mycelium::observe::{Event, Health, HealthState};
///
/// let mut health = Health::new(["Feed"]);
/// health.apply(&Event::ServiceStarted { service: "Feed" });
/// assert_eq!(health.node(), HealthState::Starting);
/// health.apply(&Event::NodeReady { node: "main" });
/// assert!(health.is_ready());
///
/// let pause = Duration::from_millis(100);
/// health.apply(&Event::ServiceBackingOff { service: "Feed", error: "no network", pause });
/// assert_eq!(health.service("Feed"), Some(HealthState::BackingOff));
/// assert!(!health.is_ready(), "the only service does not run");
/// assert_eq!(
///     health.causes()[0].to_string(),
///     "service `Feed` failed and waits for its restart"
/// );
/// health.apply(&Event::ServiceRestarted { service: "Feed", error: "no network" });
/// assert!(health.is_ready());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    phase: NodePhase,
    services: BTreeMap<Box<str>, ServiceHealth>,
    /// The services of each supervisor.
    supervisors: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// The number of services in each state, in the order of [`HealthState::ALL`].
    counts: [usize; 5],
    /// The number of connections of each link that was once connected and is still needed.
    links: BTreeMap<(String, bool), usize>,
    /// The number of links without a connection.
    lost_links: usize,
}

/// A changed state of a service, or of the node (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthChange {
    pub(crate) service: Option<String>,
    pub(crate) before: HealthState,
    pub(crate) now: HealthState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum NodePhase {
    #[default]
    Starting,
    Ready,
    Draining,
    Stopped,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ServicePhase {
    #[default]
    Starting,
    Running,
    BackingOff,
    Halted,
    Stopped,
}

/// The health of one service. It is small: a node may have many services, most of them ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ServiceHealth {
    phase: ServicePhase,
    /// `None` if nothing is wrong.
    causes: Option<Box<Causes>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Causes {
    /// The number of hanging polls, of the service and of its child tasks.
    hanging: usize,
    /// For each topic, how many of the service's rings are nearly full.
    pressed: BTreeMap<String, usize>,
    /// How many publishers of a topic have evicted each reader.
    evicted: BTreeMap<(String, String), usize>,
}

impl ServiceHealth {
    fn state(&self) -> HealthState {
        match self.phase {
            ServicePhase::Starting => HealthState::Starting,
            ServicePhase::BackingOff | ServicePhase::Halted => HealthState::BackingOff,
            ServicePhase::Stopped => HealthState::Stopped,
            ServicePhase::Running if self.causes.is_none() => HealthState::Ready,
            ServicePhase::Running => HealthState::Degraded,
        }
    }

    fn hangs(&self) -> bool {
        self.causes.as_ref().is_some_and(|causes| causes.hanging > 0)
    }

    /// Adds or removes a cause.
    fn change(&mut self, change: impl FnOnce(&mut Causes)) {
        let mut causes = self.causes.take().unwrap_or_default();
        change(&mut causes);
        self.causes = Some(causes).filter(|causes| **causes != Causes::default());
    }
}

impl Health {
    /// Creates the health of a node with these services that has not started.
    pub fn new<N: Into<String>>(services: impl IntoIterator<Item = N>) -> Health {
        let services =
            services.into_iter().map(|name| (name.into().into(), ServiceHealth::default()));
        let mut health = Health { services: services.collect(), ..Health::default() };
        health.counts[HealthState::Starting as usize] = health.services.len();
        health
    }

    /// Adds a supervisor of these services. Its health is computed from the health of the services.
    ///
    /// ```
    /// use mycelium::observe::{Event, Health, HealthState};
    ///
    /// let mut health = Health::new(["Feed", "Book"]).with_supervisor("pricing", ["Feed", "Book"]);
    /// assert_eq!(health.supervisor("pricing"), Some(HealthState::Starting));
    /// health.apply(&Event::ServiceStarted { service: "Feed" });
    /// health.apply(&Event::ServiceStarted { service: "Book" });
    /// assert_eq!(health.supervisor("pricing"), Some(HealthState::Ready));
    /// health.apply(&Event::ServiceHalted { service: "Book", supervisor: "pricing" });
    /// assert_eq!(health.supervisor("pricing"), Some(HealthState::Degraded));
    /// ```
    #[must_use]
    pub fn with_supervisor<N: Into<String>>(
        mut self,
        name: &str,
        services: impl IntoIterator<Item = N>,
    ) -> Health {
        let services = services.into_iter().map(|service| service.into().into()).collect();
        self.supervisors.insert(name.into(), services);
        self
    }

    /// Applies the next event. An unknown service is added. An event that does not concern health
    /// changes nothing.
    pub fn apply(&mut self, event: &Event<'_>) {
        self.changes(event);
    }

    /// Applies the next event, as [`apply`](Health::apply). Returns the changes: services before
    /// the node.
    pub(crate) fn changes(&mut self, event: &Event<'_>) -> Vec<HealthChange> {
        let before = self.node();
        let mut changes = self.fold(event);
        let now = self.node();
        if before != now {
            changes.push(HealthChange { service: None, before, now });
        }
        changes
    }

    /// Returns the state of the node.
    #[must_use]
    pub fn node(&self) -> HealthState {
        match self.phase {
            NodePhase::Starting => HealthState::Starting,
            NodePhase::Draining | NodePhase::Stopped => HealthState::Stopped,
            NodePhase::Ready => {
                let count = |state: HealthState| self.counts[state as usize];
                let running = self.services.len() - count(HealthState::Stopped);
                let backing_off = count(HealthState::BackingOff);
                let is_well =
                    count(HealthState::Degraded) == 0 && backing_off == 0 && self.lost_links == 0;
                match backing_off {
                    1.. if backing_off == running => HealthState::BackingOff,
                    _ if is_well => HealthState::Ready,
                    _ => HealthState::Degraded,
                }
            }
        }
    }

    /// Returns the state of a service; `None` if the node has no service with this name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<HealthState> {
        self.services.get(name).map(ServiceHealth::state)
    }

    /// Returns the services and their states, by name.
    pub fn services(&self) -> impl Iterator<Item = (&str, HealthState)> {
        self.services.iter().map(|(name, service)| (&**name, service.state()))
    }

    /// Returns the state of a supervisor, computed from its services; `None` if the node has no
    /// supervisor with this name. It is `Stopped` if all services have stopped, `Starting` if one
    /// has never run, `BackingOff` if all that have not stopped back off, `Degraded` if one is not
    /// ready, and otherwise `Ready`.
    #[must_use]
    pub fn supervisor(&self, name: &str) -> Option<HealthState> {
        Some(self.together(self.supervisors.get(name)?))
    }

    /// Returns the supervisors and their states, by name.
    pub fn supervisors(&self) -> impl Iterator<Item = (&str, HealthState)> {
        self.supervisors.iter().map(|(name, services)| (&**name, self.together(services)))
    }

    fn together(&self, services: &[Box<str>]) -> HealthState {
        HealthState::together(services.iter().filter_map(|service| self.service(service)))
    }

    /// Returns whether the node should get work: it is ready or degraded. `/ready` reports this.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self.node() {
            HealthState::Ready | HealthState::Degraded => true,
            HealthState::Starting | HealthState::BackingOff | HealthState::Stopped => false,
        }
    }

    /// Returns whether the process should continue: the node has not ended, and a
    /// [watchdog](crate::Builder::watchdog) has detected no hanging poll. `/live` reports this.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let hangs = self.services.values().any(ServiceHealth::hangs);
        self.phase != NodePhase::Stopped && !hangs
    }

    /// Returns the causes why the node is not ready.
    #[must_use]
    pub fn causes(&self) -> Vec<HealthCause> {
        let mut causes = Vec::new();
        for (name, service) in &self.services {
            let own = || name.to_string();
            match service.phase {
                ServicePhase::BackingOff => causes.push(HealthCause::BacksOff { service: own() }),
                ServicePhase::Halted => causes.push(HealthCause::Halted { service: own() }),
                ServicePhase::Running => {}
                ServicePhase::Starting | ServicePhase::Stopped => continue,
            }
            if service.hangs() {
                causes.push(HealthCause::Hangs { service: own() });
            }
            let Some(of_service) = &service.causes else { continue };
            let pressed = of_service.pressed.keys().cloned();
            causes.extend(pressed.map(|topic| HealthCause::Backpressure { service: own(), topic }));
            let evicted = of_service.evicted.keys().cloned();
            causes.extend(evicted.map(|(topic, reader)| HealthCause::Evicted {
                service: own(),
                topic,
                reader,
            }));
        }
        let lost = self.links.iter().filter(|(_, connections)| **connections == 0);
        causes.extend(lost.map(|((peer, reads), _)| HealthCause::Disconnected {
            peer: peer.clone(),
            reads: *reads,
        }));
        causes
    }

    fn fold(&mut self, event: &Event<'_>) -> Vec<HealthChange> {
        let change = match *event {
            Event::ServiceStarted { service } | Event::ServiceRestarted { service, .. } => {
                self.enter(service, ServicePhase::Running)
            }
            Event::ServiceBackingOff { service, .. } => {
                self.enter(service, ServicePhase::BackingOff)
            }
            Event::ServiceHalted { service, .. } => self.enter(service, ServicePhase::Halted),
            Event::ServiceStopped { service, .. } => self.enter(service, ServicePhase::Stopped),
            Event::PollHangs { service, .. } => self.cause(service, |it| it.hanging += 1),
            Event::PollEnded { service, .. } => {
                self.cause(service, |it| it.hanging = it.hanging.saturating_sub(1))
            }
            Event::BackpressureStarted { service, topic, .. } => {
                self.cause(service, |it| add(&mut it.pressed, topic.to_owned()))
            }
            Event::BackpressureEnded { service, topic, .. } => {
                self.cause(service, |it| remove(&mut it.pressed, topic.to_owned()))
            }
            Event::ReaderEvicted { service, topic, reader, .. } => {
                let key = (topic.to_owned(), reader.to_owned());
                self.cause(service, |it| add(&mut it.evicted, key))
            }
            Event::ReaderReturned { service, topic, reader } => {
                let key = (topic.to_owned(), reader.to_owned());
                self.cause(service, |it| remove(&mut it.evicted, key))
            }
            Event::LinkConnected { peer, reads } => {
                *self.links.entry((peer.to_owned(), reads)).or_default() += 1;
                self.count_lost_links()
            }
            Event::LinkDisconnected { peer, reads, is_over } => {
                self.disconnect((peer.to_owned(), reads), is_over);
                self.count_lost_links()
            }
            Event::NodeReady { .. } => self.reach(NodePhase::Ready),
            Event::NodeDraining { .. } => self.reach(NodePhase::Draining),
            Event::NodeStopped { .. } => {
                self.reach(NodePhase::Stopped);
                return self.stop_services();
            }
            // Changes nothing: if a service runs the handler, the poll of that service hangs and
            // has its own event.
            Event::FastHandlerHangs { .. }
            | Event::ThreadStarted { .. }
            | Event::ThreadStopped { .. }
            | Event::HealthChanged { .. } => None,
        };
        change.into_iter().collect()
    }

    fn disconnect(&mut self, link: (String, bool), is_over: bool) {
        if is_over {
            self.links.remove(&link);
        } else if let Some(connections) = self.links.get_mut(&link) {
            *connections = connections.saturating_sub(1);
        }
    }

    fn count_lost_links(&mut self) -> Option<HealthChange> {
        self.lost_links = self.links.values().filter(|connections| **connections == 0).count();
        None
    }

    fn reach(&mut self, phase: NodePhase) -> Option<HealthChange> {
        self.phase = self.phase.max(phase);
        None
    }

    fn enter(&mut self, service: &str, phase: ServicePhase) -> Option<HealthChange> {
        self.change(service, |it| {
            // Never leaves the stopped state, even while a run of an abandoned service continues.
            if it.phase != ServicePhase::Stopped {
                it.phase = phase;
            }
        })
    }

    fn cause(&mut self, service: &str, cause: impl FnOnce(&mut Causes)) -> Option<HealthChange> {
        self.change(service, |it| it.change(cause))
    }

    /// Stops the services that have never started, because the node has ended.
    fn stop_services(&mut self) -> Vec<HealthChange> {
        let names: Vec<Box<str>> = self.services.keys().cloned().collect();
        names.iter().filter_map(|name| self.enter(name, ServicePhase::Stopped)).collect()
    }

    /// Changes the health of a service.
    fn change(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut ServiceHealth),
    ) -> Option<HealthChange> {
        if !self.services.contains_key(name) {
            self.services.insert(name.into(), ServiceHealth::default());
            self.counts[HealthState::Starting as usize] += 1;
        }
        let service = self.services.get_mut(name)?;
        let before = service.state();
        change(service);
        let now = service.state();
        self.counts[before as usize] -= 1;
        self.counts[now as usize] += 1;
        (before != now).then(|| HealthChange { service: Some(name.to_owned()), before, now })
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn remove<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
