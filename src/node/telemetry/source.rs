//! The state of a node, for the threads that export it.

use std::fmt::Write;
use std::sync::{Arc, Weak};

use mycelium_telemetry::{HealthOf, HealthReading, Ring, Snapshot, Source};
use mycelium_transports::local::Topic;

use crate::observe::health::Health;
use crate::observe::health_state::HealthState;
use crate::shared::{Lifecycle, ServiceNode, Topics};

/// A node as a source of metrics, while the node exists: the references are weak.
pub(super) struct NodeSource {
    node: String,
    lifecycle: Weak<Lifecycle>,
    topics: Weak<Topics>,
}

impl Source for NodeSource {
    fn snapshot(&self) -> Option<Snapshot> {
        let (lifecycle, topics) = self.parts()?;
        Some(snapshot(&self.node, &lifecycle, &topics))
    }

    fn live(&self) -> Result<String, String> {
        self.answer(Health::is_live)
    }

    fn ready(&self) -> Result<String, String> {
        self.answer(Health::is_ready)
    }
}

impl NodeSource {
    pub(super) fn new(node: &ServiceNode) -> NodeSource {
        let (lifecycle, topics) = (Arc::downgrade(&node.lifecycle), Arc::downgrade(&node.topics));
        NodeSource { node: node.plan.node.clone(), lifecycle, topics }
    }

    fn parts(&self) -> Option<(Arc<Lifecycle>, Arc<Topics>)> {
        self.lifecycle.upgrade().zip(self.topics.upgrade())
    }

    /// Returns the state of the node once all its services are placed: a node that fails to start
    /// has nothing to export.
    #[cfg(feature = "otlp")]
    pub(super) fn started_snapshot(&self) -> Option<Snapshot> {
        let (lifecycle, topics) = self.parts()?;
        lifecycle.placed.is_set().then(|| snapshot(&self.node, &lifecycle, &topics))
    }

    /// Lists the state of the node, its causes, and the supervisors that are not ready, one per
    /// line. `Err` if `is_well` is false.
    fn answer(&self, is_well: impl Fn(&Health) -> bool) -> Result<String, String> {
        let Some((lifecycle, _)) = self.parts() else { return Err("stopped\n".to_owned()) };
        let health = lifecycle.observers.health();
        let mut text = format!("{}\n", health.node());
        for cause in health.causes() {
            // Writing into a text cannot fail.
            let _ = writeln!(text, "{cause}");
        }
        for (supervisor, state) in health.supervisors() {
            if state != HealthState::Ready {
                let _ = writeln!(text, "supervisor `{supervisor}`: {state}");
            }
        }
        if is_well(&health) { Ok(text) } else { Err(text) }
    }
}

fn snapshot(node: &str, lifecycle: &Lifecycle, topics: &Topics) -> Snapshot {
    let health = lifecycle.observers.health();
    let of_node = HealthReading { of: HealthOf::Node, state: health.node().name() };
    let of_supervisors = health.supervisors().map(|(supervisor, state)| HealthReading {
        of: HealthOf::Supervisor(supervisor.to_owned()),
        state: state.name(),
    });
    let of_services = health.services().map(|(service, state)| HealthReading {
        of: HealthOf::Service(service.to_owned()),
        state: state.name(),
    });
    let counters = topics.counters();
    // Reads the rings before the counters, so that a snapshot never has more taken messages than
    // sent ones.
    let rings = topics.all().iter().flat_map(|topic| rings(topic)).collect();
    Snapshot {
        node: node.to_owned(),
        readings: counters.read(),
        unseen: counters.unseen(),
        rings,
        health: [of_node].into_iter().chain(of_supervisors).chain(of_services).collect(),
    }
}

fn rings(topic: &Topic) -> Vec<Ring> {
    let rings = topic.rings().into_iter().map(|ring| Ring {
        topic: topic.name().to_owned(),
        publisher: ring.publisher.to_string(),
        depth: ring.depth,
        high_water: ring.high_water,
        capacity: ring.capacity,
        arena_bytes: ring.arena_bytes,
        arena_high_water: ring.arena_high_water,
        label: ring.label,
        readers: ring.readers,
    });
    rings.collect()
}
