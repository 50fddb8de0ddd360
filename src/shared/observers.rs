//! The observers of a node, the events of its publishers, and its health, which is computed from
//! its events.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use mycelium_core::Message;
use mycelium_transports::counters::{Line, NodeValue};
use mycelium_transports::local::{Eviction, OnStall, PressureChange, Publisher};

use crate::observe::Event;
use crate::observe::health::{Health, HealthChange};
use crate::plan::SupervisionPlan;
use crate::support::lock::lock;
use crate::support::log;

type Observer = Box<dyn Fn(&Event<'_>) + Send + Sync>;

/// The observers of a node.
#[derive(Default)]
pub(crate) struct Observers {
    observers: Vec<Observer>,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    health: Health,
    /// The line of counters with the state of the node.
    line: Option<Line<NodeValue>>,
    /// Changes of which the observers were not notified yet.
    pending: VecDeque<HealthChange>,
    /// Whether a thread is notifying the observers of changes. It continues until none is pending.
    is_notifying: bool,
}

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        self.observers.push(Box::new(observer));
    }

    /// Sets the services of the starting node, and the supervisors of some of them. The state of
    /// the node's health is written to `line`.
    pub(crate) fn expect(
        &self,
        services: &[&str],
        supervision: &SupervisionPlan,
        line: Line<NodeValue>,
    ) {
        let mut health = Health::new(services.iter().copied());
        for supervisor in &supervision.supervisors {
            health = health.with_supervisor(&supervisor.name, supervisor.services.clone());
        }
        line.set(NodeValue::State, health.node() as u64);
        let mut watched = lock(&self.watched);
        watched.health = health;
        watched.line = Some(line);
    }

    /// Returns the health after all events so far.
    pub(crate) fn health(&self) -> Health {
        lock(&self.watched).health.clone()
    }

    /// Calls all observers in order with the event, and with the resulting changes of health. If
    /// another thread is notifying of changes now, that thread also notifies of these. A panic of
    /// an observer is logged.
    pub(crate) fn notify(&self, event: &Event<'_>) {
        let mut watched = lock(&self.watched);
        let changes = watched.health.changes(event);
        let of_node = changes.iter().rfind(|change| change.service.is_none());
        if let (Some(line), Some(change)) = (&watched.line, of_node) {
            line.set(NodeValue::State, change.now as u64);
        }
        if !self.observers.is_empty() {
            watched.pending.extend(changes);
        }
        drop(watched);
        self.call(event);
        self.notify_changes();
    }

    /// Notifies the observers of changes of health, one after the other.
    fn notify_changes(&self) {
        let mut watched = lock(&self.watched);
        if watched.is_notifying {
            return;
        }
        watched.is_notifying = true;
        while let Some(HealthChange { service, before, now }) = watched.pending.pop_front() {
            // Releases the lock before the calls, because an observer may read the health.
            drop(watched);
            self.call(&Event::HealthChanged { service: service.as_deref(), before, now });
            watched = lock(&self.watched);
        }
        watched.is_notifying = false;
    }

    /// Reports the events of a service's publisher to the observers, and evictions also to the log.
    /// `on_stall` is the setting of the publisher's topic.
    pub(crate) fn observe_publisher<M: Message>(
        self: &Arc<Self>,
        service: &str,
        publisher: &Publisher<M>,
        on_stall: OnStall,
    ) {
        if on_stall != OnStall::Block {
            self.observe_evictions(service, publisher);
        }
        // A weak reference, because an observer may have a publisher of the same ring: strong ones
        // would keep the observers and the ring alive forever.
        let (observers, service) = (Arc::downgrade(self), service.to_owned());
        let topic = publisher.topic().clone();
        publisher.observe_pressure(move |change| {
            let Some(observers) = observers.upgrade() else { return };
            let (service, topic) = (&*service, &*topic);
            let PressureChange { exceeded, depth, capacity } = change;
            observers.notify(&match exceeded {
                true => Event::BackpressureStarted { service, topic, depth, capacity },
                false => Event::BackpressureEnded { service, topic, depth, capacity },
            });
        });
    }

    fn observe_evictions<M: Message>(self: &Arc<Self>, service: &str, publisher: &Publisher<M>) {
        // A weak reference, for the same reason as in `observe_publisher`.
        let (observers, service) = (Arc::downgrade(self), Arc::<str>::from(service));
        let topic = publisher.topic().clone();
        let (told, name, of) = (observers.clone(), service.clone(), topic.clone());
        publisher.observe_returns(move |reader| {
            let (service, topic, reader) = (&*name, &*of, &*reader);
            log::info!(service, topic, reader, "the reader that was evicted is waited for again");
            if let Some(observers) = told.upgrade() {
                observers.notify(&Event::ReaderReturned { service, topic, reader });
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
            if let Some(observers) = observers.upgrade() {
                observers.notify(&Event::ReaderEvicted { service, topic, reader, stalled });
            }
        });
    }

    fn call(&self, event: &Event<'_>) {
        for observer in &self.observers {
            if catch_unwind(AssertUnwindSafe(|| observer(event))).is_err() {
                log::error!(?event, "an observer of the node panicked at this event");
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} observers", self.observers.len())
    }
}
