//! The topics of a node, as its services declare them.

use std::collections::BTreeMap;
use std::sync::Arc;

use mycelium_core::Message;
use mycelium_transports::local::{Policy, Readers, Retain, Schema, TraceArea};

use super::ports::BoundPorts;
use crate::plan::dead_letter::DeadLetter;

/// The checked plan of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedTopic {
    pub(crate) schema: Schema,
    /// The number of publishers, in this node and in others.
    pub(crate) publishers: usize,
    /// The number of publishers in other nodes. Each has a ring in this node.
    pub(crate) remote_publishers: usize,
    pub(crate) readers: usize,
    /// The number of slots of each ring.
    pub(crate) capacity: usize,
    /// The number of initial entries of each ring, for the gating subscriptions of the topology and
    /// the nodes that read the ring through shared memory; and the maximum number.
    pub(crate) gating: Readers,
    /// The number of `drop-newest` subscriptions: each has a ring for each publisher.
    pub(crate) drop_newest: usize,
    /// Whether another node reads the topic through shared memory. The rings of this node's
    /// publishers are then in shared memory.
    pub(crate) is_shared: bool,
    /// Whether the slots of the rings have an area for the trace and the time of each message.
    pub(crate) area: TraceArea,
    /// What each publisher of this node retains for later readers.
    pub(crate) retain: Option<Retain>,
}

/// Collects the topics of this node.
pub(super) fn topics(services: &[(String, BoundPorts)]) -> BTreeMap<Arc<str>, PlannedTopic> {
    let mut topics = BTreeMap::<Arc<str>, PlannedTopic>::new();
    for (_, ports) in services {
        let reads = ports.reads.iter().map(|port| (port, 0));
        for (port, publishers) in reads.chain(ports.emits.iter().map(|port| (port, 1))) {
            let planned = topics.entry(port.topic.clone()).or_insert(PlannedTopic {
                schema: port.schema,
                publishers: 0,
                remote_publishers: 0,
                readers: 0,
                capacity: 0,
                gating: Readers::from(0),
                drop_newest: 0,
                is_shared: false,
                area: TraceArea::Absent,
                retain: None,
            });
            planned.publishers += publishers;
            planned.readers += 1 - publishers;
            planned.drop_newest += usize::from(port.options.policy == Policy::DropNewest);
        }
    }
    if let Some(letters) = topics.get_mut(DeadLetter::TOPIC) {
        let writers = services.iter().filter(|(_, ports)| ports.can_give_up());
        letters.publishers += writers.count();
    }
    topics
}

/// The services of this node that publish and read a topic, by their indices in the plan.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) publishers: Vec<usize>,
    pub(super) readers: Vec<usize>,
    /// Whether a service declares the topic by its message type.
    pub(super) is_own: bool,
}

/// Returns the members of all topics. A service that has several ports of a topic is listed once.
pub(super) fn members(services: &[(String, BoundPorts)]) -> BTreeMap<Arc<str>, Members> {
    let mut topics = BTreeMap::<Arc<str>, Members>::new();
    for (service, (_, ports)) in services.iter().enumerate() {
        for port in ports.outputs() {
            let members = topics.entry(port.topic.clone()).or_default();
            if members.publishers.last() != Some(&service) {
                members.publishers.push(service);
            }
            members.is_own |= port.has_own_topic;
        }
        for port in ports.inputs() {
            let members = topics.entry(port.topic.clone()).or_default();
            if members.readers.last() != Some(&service) {
                members.readers.push(service);
            }
            members.is_own |= port.has_own_topic;
        }
    }
    topics
}
