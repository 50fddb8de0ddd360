//! The topics that a node shares with each other node of the topology.
//!
//! They follow from the topology and from the ports that the services of the whole program declare.
//! So both nodes of a link know each other before either of them runs, and the limits of the link
//! have room for their topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mycelium_core::{Code, Message};
use mycelium_transports::local::{Policy, Start};
use mycelium_transports::stream::{STREAMS, TOPICS};

use super::ports::{BoundPort, BoundPorts};
use crate::error::BuildError;
use crate::plan::dead_letter::DeadLetter;
use crate::topology::{Setting, Topology};

/// The topics that a node shares with others, by the name of the other node. Each topic has the
/// strictest policy of its subscriptions in the reading node.
#[derive(Debug, Default)]
pub(crate) struct PeerTopics {
    /// The topics that this node reads from other nodes. A topic is listed once for each service
    /// that publishes it.
    pub(crate) publishers: BTreeMap<String, Vec<(Arc<str>, Policy)>>,
    /// The topics that other nodes read from this node.
    pub(crate) readers: BTreeMap<String, Vec<(Arc<str>, Policy)>>,
    /// The topics that a subscription of this node reads from the oldest retained message.
    pub(super) late: BTreeSet<Arc<str>>,
    /// The topics whose messages stay on the socket of the link with another node, because a
    /// reading service of that node or of this node has a `drop-newest` subscription.
    pub(super) on_socket: BTreeMap<String, BTreeSet<Arc<str>>>,
}

impl PeerTopics {
    /// Finds the shared topics of `node`, which runs `services`. `known` are the services of all
    /// nodes.
    pub(crate) fn new(
        node: &str,
        topology: &Topology,
        known: &[(String, BoundPorts)],
        services: &[(String, BoundPorts)],
    ) -> Result<PeerTopics, BuildError> {
        let mut peer_topics = PeerTopics::default();
        let reads = services.iter().flat_map(|(_, ports)| &ports.reads);
        let late = reads.filter(|port| port.options.start == Start::Oldest);
        peer_topics.late = late.map(|port| port.topic.clone()).collect();
        let here = strictest(services.iter());
        let dropped_here = dropped(services.iter());
        let places = known.iter().enumerate().map(|(place, (name, _))| (name.as_str(), place));
        let places: BTreeMap<&str, usize> = places.collect();
        for (other, names) in topology.placements() {
            let theirs = names.into_iter().filter_map(|name| places.get(name));
            let theirs: BTreeSet<&usize> = theirs.collect();
            let theirs = || theirs.iter().map(|place| &known[**place]);
            let there = strictest(theirs());
            let dropped_there = dropped(theirs());
            for (_, ports) in theirs() {
                for port in &ports.reads {
                    topology.check_access(other, "reads", &port.topic)?;
                }
                for port in &ports.emits {
                    topology.check_access(other, "writes", &port.topic)?;
                }
            }
            if other == node {
                continue;
            }
            let publishers = peer_topics.publishers.entry(other.to_owned()).or_default();
            let over_links = |port: &&BoundPort| topology.engine(&port.topic).is_none();
            for port in theirs().flat_map(|(_, ports)| &ports.emits).filter(over_links) {
                let policy = here.get(&*port.topic);
                publishers.extend(policy.map(|policy| (port.topic.clone(), *policy)));
            }
            check_limits(topology, other, node, publishers.iter().map(|(topic, _)| &**topic))?;
            let readers = peer_topics.readers.entry(other.to_owned()).or_default();
            let mine = services.iter().flat_map(|(_, ports)| &ports.emits).filter(over_links);
            let (mut sent, mut seen) = (Vec::new(), BTreeSet::new());
            for topic in mine.map(|port| &port.topic) {
                let Some(policy) = there.get(&**topic) else { continue };
                sent.push(&**topic);
                if seen.insert(topic) {
                    readers.push((topic.clone(), *policy));
                }
            }
            check_limits(topology, node, other, sent.into_iter())?;
            let read = publishers.iter().filter(|(topic, _)| dropped_here.contains(&**topic));
            let sent = readers.iter().filter(|(topic, _)| dropped_there.contains(&**topic));
            let on_socket = read.chain(sent).map(|(topic, _)| topic.clone()).collect();
            peer_topics.on_socket.insert(other.to_owned(), on_socket);
        }
        peer_topics.publishers.retain(|_, topics| !topics.is_empty());
        peer_topics.readers.retain(|_, topics| !topics.is_empty());
        let is_near = |peer: &&String| !topology.is_over_tcp(node, peer);
        let has_observers = topology.admits_observers(node);
        if has_observers || peer_topics.readers.keys().any(|peer| is_near(&peer)) {
            topology.check_endpoint(node)?;
        }
        let mut near = peer_topics.publishers.keys().filter(is_near);
        near.try_for_each(|peer| topology.check_endpoint(peer))?;
        Ok(peer_topics)
    }

    /// Returns the topics that stay on the socket of the link with this node.
    pub(super) fn on_socket(&self, peer: &str) -> impl Iterator<Item = &str> {
        self.on_socket.get(peer).into_iter().flatten().map(|topic| &**topic)
    }

    /// Returns the topics that this node shares with another one.
    pub(crate) fn shared_with(&self, peer: &str) -> impl Iterator<Item = &str> {
        let both = [self.publishers.get(peer), self.readers.get(peer)];
        both.into_iter().flatten().flatten().map(|(topic, _)| &**topic)
    }

    /// Returns where this node begins to read `topic` from other nodes that have kept no messages
    /// of it for this node.
    pub(crate) fn start(&self, topic: &str) -> Start {
        if self.late.contains(topic) { Start::Oldest } else { Start::Next }
    }

    /// Returns whether this node shares no topic with any other.
    pub(crate) fn is_empty(&self) -> bool {
        self.publishers.is_empty() && self.readers.is_empty()
    }

    /// Returns the nodes that read a topic of this node, with their policies.
    pub(super) fn readers_of(&self, topic: &str) -> impl Iterator<Item = (&str, Policy)> {
        self.readers.iter().filter_map(move |(node, topics)| {
            let (_, policy) = topics.iter().find(|(read, _)| **read == *topic)?;
            Some((node.as_str(), *policy))
        })
    }

    /// Returns the number of entries that other nodes need in a ring of this node: one for each
    /// gating node, and one for each node that is `in_memory` (reads through shared memory).
    pub(super) fn entries(&self, topic: &str, in_memory: impl Fn(&str) -> bool) -> usize {
        let readers = self.readers_of(topic);
        readers.filter(|(peer, policy)| policy.is_gating() || in_memory(peer)).count()
    }

    /// Returns whether any other node has a gating subscription to a topic of this node.
    pub(crate) fn gates(&self) -> bool {
        self.readers.values().flatten().any(|(_, policy)| policy.is_gating())
    }

    /// Returns the nodes that read the topic from this node by a gating subscription, or from which
    /// this node reads it by one.
    pub(crate) fn sharing(&self, topic: &str) -> impl Iterator<Item = &str> {
        let all = self.publishers.iter().chain(&self.readers);
        all.filter_map(move |(node, topics)| {
            let gating =
                |(name, policy): &(Arc<str>, Policy)| **name == *topic && policy.is_gating();
            topics.iter().any(gating).then_some(node.as_str())
        })
    }

    /// Returns whether another node reads a topic of this node.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        self.readers.values().flatten().any(|(read, _)| **read == *topic)
    }

    /// Returns whether another node publishes a topic that this node reads.
    pub(crate) fn writes(&self, topic: &str) -> bool {
        self.publishers.values().flatten().any(|(written, _)| **written == *topic)
    }
}

/// Checks the limits of a link for the topics that `reader` reads from `publisher`. `topics` has
/// one item for each publisher.
fn check_limits<'a>(
    topology: &Topology,
    publisher: &str,
    reader: &str,
    topics: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), BuildError> {
    let distinct = topics.clone().collect::<BTreeSet<_>>().len();
    for (what, limit, found) in
        [("topics", TOPICS, distinct), ("publishers", STREAMS, topics.count())]
    {
        if found > limit {
            let place = topology.place_of(Setting::Node(reader));
            let problem = format!(
                "node `{reader}` reads {found} {what} of node `{publisher}`, but a link carries at \
                 most {limit}: place some of these services in another node"
            );
            return Err(BuildError::at(place, Code::LINK_LIMIT, problem));
        }
    }
    Ok(())
}

/// Returns the topics that any of these services reads with `drop-newest`.
fn dropped<'a>(services: impl Iterator<Item = &'a (String, BoundPorts)>) -> BTreeSet<&'a str> {
    let ports = services.flat_map(|(_, ports)| &ports.reads);
    let dropped = ports.filter(|port| port.options.policy == Policy::DropNewest);
    dropped.map(|port| &*port.topic).collect()
}

/// Returns each topic that any of these services reads, with the strictest policy, without dead
/// letters, which stay in the node that wrote them.
fn strictest<'a>(
    services: impl Iterator<Item = &'a (String, BoundPorts)>,
) -> BTreeMap<&'a str, Policy> {
    let mut topics = BTreeMap::new();
    let ports = services.flat_map(|(_, ports)| &ports.reads);
    for port in ports.filter(|port| *port.topic != *DeadLetter::TOPIC) {
        let policy = port.options.policy;
        let strictest = topics.entry(&*port.topic).or_insert(policy);
        *strictest = policy.min(*strictest);
    }
    topics
}
