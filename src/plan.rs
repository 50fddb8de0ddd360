//! The plan of a node, checked before anything runs: its topics, their rings and memory, and the
//! flow of messages. `ports` are the topics that services declare, `flows` finds circles of
//! services, `peer_topics` are the topics that cross links, `dead_letters` decides which services
//! end last.

mod dead_letters;
mod flows;
mod peer_topics;
mod ports;

use std::collections::{BTreeMap, BTreeSet};

use mycelium_core::Message;
use mycelium_transports::local::{Schema, TopicError};

use crate::dead_letter::DeadLetter;
use crate::error::BuildError;
use crate::log;
use crate::topology::Topology;
use dead_letters::DeadLetterPlan;
use flows::{flows, reaches, refuse_blocking_cycles};
pub(crate) use peer_topics::PeerTopics;
pub use ports::{Port, Ports};

/// Room in a topic for gating subscriptions that are not in the topology: those made at run time,
/// by other nodes or outside the services.
const SPARE_READERS: usize = 64;

/// The number of dead letters in the ring of one service.
const DEAD_LETTERS: usize = 16;

/// The checked plan of a node.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) node: String,
    pub(crate) topology: Topology,
    pub(crate) topics: BTreeMap<&'static str, PlannedTopic>,
    /// The memory of all publishers' rings, in bytes.
    pub(crate) memory: usize,
    /// Subscriptions, as service and topic, that close a circle of services. They never see the end
    /// of all their publishers.
    pub(crate) feedback: Vec<(String, &'static str)>,
    /// The topics that it shares with other nodes.
    pub(crate) peer_topics: PeerTopics,
    /// Which of its services end last, because they read dead letters.
    pub(crate) dead_letters: DeadLetterPlan,
    /// Services of this node, with the topics that they read.
    reads: Vec<(String, Vec<&'static str>)>,
}

/// The checked plan of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedTopic {
    pub(crate) schema: Schema,
    pub(crate) publishers: usize,
    pub(crate) readers: usize,
    /// The number of slots of each ring.
    pub(crate) capacity: usize,
    /// The most gating subscriptions of each ring: those of the topology, and some in reserve.
    pub(crate) gating: usize,
}

impl Plan {
    /// Checks `services`, in their order of start, against each other and against the topology. The
    /// topology may name all services that are `known`.
    pub(crate) fn new(
        node: &str,
        topology: Topology,
        known: &[(String, Ports)],
        services: &[(String, Ports)],
    ) -> Result<Plan, BuildError> {
        check_names(&topology, known)?;
        let peer_topics = PeerTopics::new(node, &topology, known, services)?;
        let mut topics = topics(services)?;
        for (topic, _) in peer_topics.publishers.values().flatten() {
            // Each publisher of another node has a ring in this node, too.
            if let Some(planned) = topics.get_mut(topic) {
                planned.publishers += 1;
            }
        }
        for (topic, planned) in &mut topics {
            let reads = |ports: &Ports| ports.reads.iter().any(|port| port.topic == *topic);
            let local = services
                .iter()
                .filter(|(name, ports)| reads(ports) && topology.policy(name, topic).is_gating());
            planned.capacity = capacity(node, &topology, &peer_topics, topic, &planned.schema);
            planned.gating = local.count() + peer_topics.gating_readers(topic) + SPARE_READERS;
        }
        let flows = flows(&placed(&topology, known).unwrap_or_else(|| services.to_vec()));
        refuse_blocking_cycles(&topology, &flows)?;
        let feedback = flows
            .iter()
            .filter(|flow| reaches(&flows, &flow.to, &flow.from))
            .map(|flow| (flow.to.clone(), flow.topic))
            .collect();
        let memory = topics
            .values()
            .map(|planned| {
                let ring = planned.schema.layout(planned.capacity).bytes();
                ring.unwrap_or(usize::MAX).saturating_mul(planned.publishers)
            })
            .fold(0, usize::saturating_add);
        let budget = topology.memory(node);
        if memory > budget {
            let (node, place) = (node.to_owned(), topology.place_of_memory(node));
            return Err(BuildError::Memory { node, place, needed: memory, budget });
        }
        let dead_letters = DeadLetterPlan::new(services, &flows, &peer_topics);
        let reads = services.iter().map(|(name, ports)| {
            (name.clone(), ports.reads.iter().map(|port| port.topic).collect())
        });
        let (node, reads) = (node.to_owned(), reads.collect());
        Ok(Plan { node, topology, topics, memory, feedback, peer_topics, dead_letters, reads })
    }

    /// The services of this node that read a topic.
    pub(crate) fn readers(&self, topic: &str) -> Vec<String> {
        let readers = self.reads.iter().filter(|(_, topics)| topics.contains(&topic));
        readers.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn capacity(&self, topic: &str) -> usize {
        let planned = self.topics.get(topic);
        planned.map_or_else(|| self.topology.capacity(topic), |planned| planned.capacity)
    }

    /// Warns of topics that are only read or only published, and of readers of dead letters that
    /// cannot get any: probably a service is missing.
    pub(crate) fn warn_of_loose_ends(&self) {
        let node = &*self.node;
        let topics = self.topics.iter().filter(|(topic, _)| **topic != DeadLetter::TOPIC);
        for (topic, planned) in topics {
            match (planned.publishers, planned.readers) {
                (0, _) => {
                    let readers = self.readers(topic).join("`, `");
                    log::warn!(
                        node,
                        "topic `{topic}`: `{readers}` subscribes, but no service of this topology publishes it"
                    );
                }
                (_, 0) if self.peer_topics.reads(topic) => {}
                (_, 0) => log::warn!(
                    node,
                    "topic `{topic}`: it is published, but no service of this topology subscribes to it"
                ),
                _ => {}
            }
        }
        if self.dead_letters.are_never_written {
            let readers = self.readers(DeadLetter::TOPIC).join("`, `");
            log::warn!(
                node,
                "`{readers}` reads dead letters, but no service or link of this node can write one, \
                 and dead letters do not cross links"
            );
        }
    }
}

/// The services of all nodes, if the topology places services.
fn placed(topology: &Topology, known: &[(String, Ports)]) -> Option<Vec<(String, Ports)>> {
    let names: Vec<&str> = topology.places().flat_map(|(_, services)| services).collect();
    let placed = known.iter().filter(|(name, _)| names.contains(&name.as_str()));
    (!names.is_empty()).then(|| placed.cloned().collect())
}

/// Checks that all names of the topology exist in the program.
fn check_names(topology: &Topology, known: &[(String, Ports)]) -> Result<(), BuildError> {
    let ports = known.iter().flat_map(|(_, ports)| ports.reads.iter().chain(&ports.emits));
    let topics: BTreeSet<&str> = ports.map(|port| port.topic).collect();
    topology.check_topics(&topics.into_iter().collect::<Vec<_>>())?;
    topology.check_lists()?;
    let subscriptions = known.iter().flat_map(|(name, ports)| {
        ports.reads.iter().map(move |port| format!("{name}.{}", port.topic))
    });
    topology.check_subscriptions(&subscriptions.collect::<Vec<_>>())?;
    Ok(())
}

/// The number of slots in the rings of a topic: its capacity and, if a gating subscription reads it
/// over a link, at least the window of the link.
fn capacity(
    node: &str,
    topology: &Topology,
    peer_topics: &PeerTopics,
    topic: &str,
    schema: &Schema,
) -> usize {
    if topic == DeadLetter::TOPIC {
        return DEAD_LETTERS;
    }
    let windows =
        peer_topics.sharing(topic).map(|other| topology.link(node, other).window.slots(schema));
    windows.chain([topology.capacity(topic)]).max().unwrap_or(2)
}

/// Collects all topics. Checks that each has one schema, and each id one type.
fn topics(
    services: &[(String, Ports)],
) -> Result<BTreeMap<&'static str, PlannedTopic>, BuildError> {
    let mut topics = BTreeMap::<&'static str, PlannedTopic>::new();
    let mut ids = BTreeMap::<u16, Port>::new();
    for (_, ports) in services {
        let reads = ports.reads.iter().map(|port| (port, 0));
        for (port, publishers) in reads.chain(ports.emits.iter().map(|port| (port, 1))) {
            let same_id = ids.entry(port.schema.id).or_insert(*port);
            if (same_id.schema, same_id.topic) != (port.schema, port.topic) {
                let (id, first, second) =
                    (port.schema.id, same_id.schema.name(), port.schema.name());
                return Err(BuildError::DuplicateId { id, first, second });
            }
            let planned = topics.entry(port.topic).or_insert(PlannedTopic {
                schema: port.schema,
                publishers: 0,
                readers: 0,
                capacity: 0,
                gating: 0,
            });
            if planned.schema != port.schema {
                return Err(BuildError::Topic(TopicError::Schema {
                    topic: port.topic.to_owned(),
                    carries: planned.schema,
                    asked: port.schema,
                }));
            }
            planned.publishers += publishers;
            planned.readers += 1 - publishers;
        }
    }
    if let Some(letters) = topics.get_mut(DeadLetter::TOPIC) {
        let writers = services.iter().filter(|(_, ports)| ports.can_give_up());
        letters.publishers += writers.count();
    }
    Ok(topics)
}
