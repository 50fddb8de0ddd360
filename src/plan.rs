//! What a node is to be, checked before anything runs: its topics, policies, memory, and who waits for whom.

use std::collections::BTreeMap;

use mycelium_core::Message;
use mycelium_core::ring::broadcast::slot_words;
use mycelium_transports::local::{Policy, Schema, TopicError};

use crate::error::BuildError;
use crate::topology::Topology;

/// A topic that a service reads or emits.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    pub(crate) topic: &'static str,
    pub(crate) schema: Schema,
}

impl Port {
    /// The topic of `M` itself.
    #[must_use]
    pub fn of<M: Message>() -> Port {
        Port { topic: M::TOPIC, schema: Schema::of::<M>() }
    }
}

/// All topics that a service reads and emits.
#[derive(Clone, Debug)]
pub struct Ports {
    /// What it subscribes to.
    pub reads: Vec<Port>,
    /// What it publishes.
    pub emits: Vec<Port>,
}

/// A node as it will be.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) node: String,
    pub(crate) topology: Topology,
    pub(crate) topics: BTreeMap<&'static str, Planned>,
    /// Bytes of all publishers' rings.
    pub(crate) memory: usize,
    /// Subscriptions, as service and topic, that close a circle of services and so never see the end of all
    /// publishers.
    pub(crate) feedback: Vec<(String, &'static str)>,
}

/// A topic as it will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) schema: Schema,
    pub(crate) publishers: usize,
}

impl Plan {
    /// Checks `services`, in their order of start, against each other and against the topology.
    pub(crate) fn new(
        node: &str,
        topology: Topology,
        services: &[(String, Ports)],
    ) -> Result<Plan, BuildError> {
        let topics = topics(services)?;
        let subscriptions: Vec<String> = services
            .iter()
            .flat_map(|(name, ports)| {
                ports.reads.iter().map(move |port| format!("{name}.{}", port.topic))
            })
            .collect();
        topology.check_topics(&topics.keys().copied().collect::<Vec<_>>())?;
        topology.check_subscriptions(&subscriptions)?;
        let edges = edges(services);
        refuse_blocking_cycles(&topology, &edges)?;
        let feedback = edges
            .iter()
            .filter(|edge| reaches(&edges, &edge.to, &edge.from))
            .map(|edge| (edge.to.clone(), edge.topic))
            .collect();
        let memory = topics
            .iter()
            .map(|(topic, planned)| {
                let slot = slot_words(planned.schema.size) * size_of::<usize>();
                slot.saturating_mul(topology.capacity(topic)).saturating_mul(planned.publishers)
            })
            .fold(0, usize::saturating_add);
        let budget = topology.memory(node);
        if memory > budget {
            return Err(BuildError::Memory { needed: memory, budget });
        }
        Ok(Plan { node: node.to_owned(), topology, topics, memory, feedback })
    }

    pub(crate) fn policy(&self, service: &str, topic: &str) -> Policy {
        self.topology.policy(service, topic)
    }
}

/// All topics, with one schema each; no id stands for two types.
fn topics(services: &[(String, Ports)]) -> Result<BTreeMap<&'static str, Planned>, BuildError> {
    let mut topics = BTreeMap::<&'static str, Planned>::new();
    let mut ids = BTreeMap::<u16, Schema>::new();
    for (_, ports) in services {
        let reads = ports.reads.iter().map(|port| (port, 0));
        for (port, publishers) in reads.chain(ports.emits.iter().map(|port| (port, 1))) {
            let same_id = ids.entry(port.schema.id).or_insert(port.schema);
            if *same_id != port.schema {
                let (id, first, second) = (port.schema.id, same_id.name, port.schema.name);
                return Err(BuildError::DuplicateId { id, first, second });
            }
            let planned =
                topics.entry(port.topic).or_insert(Planned { schema: port.schema, publishers: 0 });
            if planned.schema != port.schema {
                return Err(BuildError::Topic(TopicError::Schema {
                    topic: port.topic.to_owned(),
                    carries: planned.schema,
                    asked: port.schema,
                }));
            }
            planned.publishers += publishers;
        }
    }
    Ok(topics)
}

/// Messages of `topic` go from one service to another.
#[derive(Debug)]
struct Edge {
    from: String,
    topic: &'static str,
    to: String,
}

fn edges(services: &[(String, Ports)]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (from, emitter) in services {
        for port in &emitter.emits {
            for (to, reader) in services {
                if reader.reads.iter().any(|read| read.topic == port.topic) {
                    edges.push(Edge { from: from.clone(), topic: port.topic, to: to.clone() });
                }
            }
        }
    }
    edges
}

/// Services that wait for each other in a circle could stop for good; one edge that drops breaks it.
fn refuse_blocking_cycles(topology: &Topology, edges: &[Edge]) -> Result<(), BuildError> {
    let gating = |edge: &&Edge| topology.policy(&edge.to, edge.topic).is_gating();
    let blocking: Vec<&Edge> = edges.iter().filter(gating).collect();
    for edge in &blocking {
        if let Some(mut path) = path(&blocking, &edge.to, &edge.from) {
            let mut round = vec![edge.from.clone(), edge.topic.to_owned()];
            round.append(&mut path);
            return Err(BuildError::Cycle { path: round });
        }
    }
    Ok(())
}

fn reaches(edges: &[Edge], from: &str, to: &str) -> bool {
    path(&edges.iter().collect::<Vec<_>>(), from, to).is_some()
}

/// A way along the edges, as service, topic, service, …
fn path(edges: &[&Edge], from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = vec![from.to_owned()];
    while let Some(way) = ways.pop() {
        let here = way.last()?;
        if here == to {
            return Some(way);
        }
        for edge in edges.iter().filter(|edge| edge.from == *here) {
            if !seen.contains(&edge.to) {
                seen.push(edge.to.clone());
                let mut longer = way.clone();
                longer.extend([edge.topic.to_owned(), edge.to.clone()]);
                ways.push(longer);
            }
        }
    }
    None
}
