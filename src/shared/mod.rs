//! The state that the parts of a running node share: its services, driver, links, and owner.
//!
//! Reading order: `lifecycle` has the phases of the node, `services` the states of its services,
//! `topics` the topics and their publishers, `actors` its actors, `outside` the subscriptions
//! outside the services, `failure` the error with which the node will end, `threads` the threads
//! that it started, `sinks` the threads that export its metrics and traces, `poll_mark` the words
//! that its watchdog checks, and `handler_mark` the words for fast handlers. [`Shared`] has one of
//! each, and the operations that concern more than one. Nothing here depends on a service's type, a
//! single link, or the driver.

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
mod threads;
mod topics;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use mycelium_core::{Code, Message};
use mycelium_executor::Executor;
use mycelium_transports::counters::NodeValue;
use mycelium_transports::link::{LayoutMismatch, Notice};
use mycelium_transports::local::{Eviction, OnStall, PressureChange, Publisher};

use crate::actor::Actors;
use crate::error::StartError;
use crate::links::Peers;
use crate::observe::Event;
use crate::observe::report::Outcome;
use crate::plan::Plan;
use crate::shared::observers::Observers;
#[cfg(feature = "testing")]
use crate::shared::probe::Probe;
use crate::supervise::member::Supervision;
use crate::supervise::tree::AtTop;
use crate::support::log;
use failure::Failure;
pub(crate) use handler_mark::HandlersToWatch;
pub(crate) use lifecycle::{Lifecycle, Phase};
pub(crate) use poll_mark::{PollMark, Subject, WatchdogHandle};
pub(crate) use services::Runs;
use services::Services;
use sinks::Sinks;
pub(crate) use threads::Threads;
pub(crate) use topics::{DeadLetterWriter, Topics};

/// How long after the shutdown's deadline the node waits until aborted tasks are dropped.
pub(crate) const ABANDON_WITHIN: Duration = Duration::from_millis(200);

/// The state that the parts of a running node share.
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    /// The node's own executor.
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) services: Services,
    pub(crate) topics: Topics,
    pub(crate) actors: Actors,
    pub(crate) peers: Arc<Peers>,
    pub(crate) failure: Failure,
    /// Decides which service runs when.
    pub(crate) supervision: Arc<Supervision>,
    /// The services' own threads.
    pub(crate) threads: Arc<Threads>,
    /// The threads that export the metrics and traces of the node.
    pub(crate) sinks: Sinks,
    /// Empty if no watchdog runs.
    pub(crate) watchdog: OnceLock<Arc<WatchdogHandle>>,
    /// The test's view of the services. Empty outside of tests.
    #[cfg(feature = "testing")]
    pub(crate) probe: OnceLock<Arc<Probe>>,
}

impl Shared {
    /// Creates the state of a node with these `services` and `topics`.
    pub(crate) fn new(
        plan: Arc<Plan>,
        topics: Topics,
        executor: Arc<dyn Executor>,
        observers: Observers,
        services: &[&str],
    ) -> Arc<Shared> {
        topics.set_executor(&executor);
        let line = topics.counters().line(&format!("node={}", plan.node));
        line.set(NodeValue::Pid, std::process::id().into());
        let started = executor.wall_clock().duration_since(SystemTime::UNIX_EPOCH);
        line.set(NodeValue::StartedSeconds, started.map_or(0, |since| since.as_secs()));
        observers.expect(services, &plan.supervision, line);
        let others = services.iter().filter(|name| !plan.dead_letters.ends_last(name)).count();
        Arc::new(Shared {
            lifecycle: Lifecycle::new(&plan.node, observers),
            services: Services::new(services.len(), others),
            actors: Actors::with(executor.clone(), topics.counters().clone(), plan.tracer.clone()),
            topics,
            peers: Arc::default(),
            failure: Failure::default(),
            supervision: Supervision::new(AtTop::Drain),
            threads: Arc::default(),
            sinks: Sinks::default(),
            watchdog: OnceLock::new(),
            #[cfg(feature = "testing")]
            probe: OnceLock::new(),
            plan,
            executor,
        })
    }

    /// Notes that a service is about to run; `error` is the error that ended its previous run.
    pub(crate) fn starts(&self, service: &str, error: Option<&str>) {
        let observers = &self.lifecycle.observers;
        match error {
            Some(error) => observers.notify(&Event::ServiceRestarted { service, error }),
            None => {
                observers.notify(&Event::ServiceStarted { service });
                self.services.unstarted.count_down();
            }
        }
    }

    /// Reports the events of a service's publisher to the observers of the node, and evictions also
    /// to the log.
    pub(crate) fn observe_publisher<M: Message>(
        self: &Arc<Self>,
        service: &str,
        publisher: &Publisher<M>,
    ) {
        if self.plan.topic(publisher.topic()).on_stall != OnStall::Block {
            self.observe_evictions(service, publisher);
        }
        // A weak reference: the publisher's ring is part of the topics here.
        let (shared, service) = (Arc::downgrade(self), service.to_owned());
        let topic = publisher.topic().clone();
        publisher.observe_pressure(move |change| {
            let Some(shared) = shared.upgrade() else { return };
            let (service, topic) = (&*service, &*topic);
            let PressureChange { exceeded, depth, capacity } = change;
            shared.lifecycle.observers.notify(&match exceeded {
                true => Event::BackpressureStarted { service, topic, depth, capacity },
                false => Event::BackpressureEnded { service, topic, depth, capacity },
            });
        });
    }

    fn observe_evictions<M: Message>(self: &Arc<Self>, service: &str, publisher: &Publisher<M>) {
        // A weak reference, as above.
        let (shared, service) = (Arc::downgrade(self), Arc::<str>::from(service));
        let topic = publisher.topic().clone();
        let (node, name, of) = (shared.clone(), service.clone(), topic.clone());
        publisher.observe_returns(move |reader| {
            let (service, topic, reader) = (&*name, &*of, &*reader);
            log::info!(service, topic, reader, "the reader that was evicted is waited for again");
            if let Some(shared) = node.upgrade() {
                let event = Event::ReaderReturned { service, topic, reader };
                shared.lifecycle.observers.notify(&event);
            }
        });
        publisher.observe_evictions(move |Eviction { reader, stalled }| {
            let (service, topic, reader) = (&*service, &*topic, &*reader);
            log::warn!(
                service,
                topic,
                reader,
                ?stalled,
                "the reader has stalled and was evicted: it misses messages until it reads on"
            );
            if let Some(shared) = shared.upgrade() {
                let event = Event::ReaderEvicted { service, topic, reader, stalled };
                shared.lifecycle.observers.notify(&event);
            }
        });
    }

    /// Notes that a service has ended, or that the node has stopped waiting for it.
    pub(crate) fn end(&self, service: &str, outcome: &Outcome) {
        if self.services.add_ended(service, outcome) {
            self.lifecycle.observers.notify(&Event::ServiceStopped { service, outcome });
        }
    }

    /// Abandons these services: the shutdown's deadline has passed, and the node stops waiting for
    /// them.
    pub(crate) fn abandon(&self, services: Vec<String>) {
        log::error!(
            node = self.plan.node,
            ?services,
            code = %Code::ABANDONED,
            "the node no longer waits for services that have not ended by the shutdown's deadline"
        );
        services.iter().for_each(|service| self.end(service, &Outcome::Abandoned));
        self.failure.abandoned(services, self.waited());
    }

    /// Reports messages to other nodes that the node stops waiting for: node, topic and number of
    /// messages. The nodes in `let_go` have violated the protocol.
    pub(crate) fn report_undelivered(
        &self,
        left: Vec<(String, String, usize)>,
        let_go: Vec<String>,
    ) {
        let error = self.failure.undelivered(left, let_go, self.waited());
        log::error!(
            node = self.plan.node,
            error,
            code = %Code::UNDELIVERED,
            "the node ends with messages that it could not deliver"
        );
    }

    /// Returns the callback for notices of links that concern the whole node: of links to nodes
    /// that this node `reads` from, or of links of nodes that read from this one. It has a weak
    /// reference to the state, so that links do not keep a node alive.
    pub(crate) fn on_notice(
        self: &Arc<Self>,
        reads: bool,
    ) -> Arc<dyn Fn(&Notice<'_>) + Send + Sync> {
        let shared = Arc::downgrade(self);
        Arc::new(move |notice| {
            let Some(shared) = shared.upgrade() else { return };
            match notice {
                Notice::TopicLayoutDiffers { peer, topic, mismatch } => {
                    shared.cannot_read(peer, topic, mismatch);
                }
                Notice::DeadLettered { undelivered } => {
                    shared.topics.write_dead_letter(undelivered);
                }
                Notice::Connected { peer, .. } => shared.link_changes(peer, reads, None),
                Notice::Disconnected { peer, error } => {
                    shared.link_changes(peer, reads, Some(error.is_final()));
                }
                // The launcher has reported the end of the peer, whether or not the link is
                // connected.
                Notice::PeerEnded { peer } => shared.link_changes(peer, reads, Some(true)),
                _ => {}
            }
        })
    }

    /// Returns the callback for an error outside the services: the node ends with this error.
    pub(crate) fn on_failure(self: &Arc<Self>) -> Arc<dyn Fn(StartError) + Send + Sync> {
        let shared = Arc::downgrade(self);
        Arc::new(move |error| {
            let Some(shared) = shared.upgrade() else { return };
            log::error!(node = shared.plan.node, %error, "the node ends");
            shared.failure.set(error);
            shared.lifecycle.shut_down();
        })
    }

    /// Reports that a link with another node is connected (`is_over` is `None`), or no longer is.
    /// Ignores processes whose names are not readers of this node in the topology: they may come
    /// and go.
    fn link_changes(&self, peer: &str, reads: bool, is_over: Option<bool>) {
        let is_known = reads || self.plan.peer_topics.readers.contains_key(peer);
        // Nothing has changed if an attempt to connect fails after the handshake has begun.
        let has_failed = reads && is_over == Some(false) && self.peers.get(peer).is_none();
        if !is_known || has_failed {
            return;
        }
        self.lifecycle.observers.notify(&match is_over {
            None => Event::LinkConnected { peer, reads },
            Some(is_over) => Event::LinkDisconnected { peer, reads, is_over },
        });
    }

    /// Ends the node because another node publishes a topic with another layout, which services of
    /// this node can never read.
    fn cannot_read(&self, peer: &str, topic: &str, mismatch: &LayoutMismatch) {
        self.failure.set(StartError::Layout {
            node: self.plan.node.clone(),
            peer: peer.to_owned(),
            topic: topic.to_owned(),
            services: self.plan.readers(topic),
            mismatch: Box::new(mismatch.clone()),
        });
        self.lifecycle.shut_down();
    }

    /// Returns how long a shutdown has waited for services. `None` if a second signal ended the
    /// wait.
    fn waited(&self) -> Option<Duration> {
        (!self.lifecycle.overdue.is_set()).then(|| self.shutdown_timeout())
    }

    /// Returns how long a shutdown may take.
    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.plan.settings.shutdown
    }
}
