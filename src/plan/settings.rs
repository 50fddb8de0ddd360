//! The settings of the topology for a node, its topics and links, as plain values, with defaults
//! for missing keys. A running node uses these instead of the file.

use std::collections::{BTreeMap, BTreeSet};
#[cfg(feature = "prometheus")]
use std::net::SocketAddr;
use std::time::Duration;

use mycelium_core::Code;
use mycelium_executor::TaskQueue;
use mycelium_transports::endpoint::Endpoint;
use mycelium_transports::link::{LinkConfig, MemoryUse, Redelivery};
use mycelium_transports::local::{OnStall, Threshold, WorkQueue};

use super::peer_topics::PeerTopics;
use super::ports::BoundPorts;
use crate::error::BuildError;
use crate::observe::report::Carrier;
use crate::support::names::expected_instead_of;
use crate::topology::Topology;

/// The settings of one node in a topology.
#[derive(Debug)]
pub(crate) struct NodeSettings {
    #[cfg_attr(not(feature = "describe"), allow(dead_code, reason = "tools print it"))]
    pub(crate) host: Option<String>,
    /// The kind of executor on which the node must be started.
    pub(crate) executor: Option<String>,
    /// The task queue that services of the node have by default.
    pub(crate) queue: TaskQueue,
    /// How long a shutdown may take.
    pub(crate) shutdown: Duration,
    /// The maximum size of all rings of the node, in bytes.
    pub(crate) memory: usize,
    /// Whether the node listens on its Unix socket even if no other node reads from it.
    pub(crate) admits_observers: bool,
    /// The endpoint for nodes of this host.
    pub(crate) endpoint: Endpoint,
    /// The endpoint for nodes of other hosts, if they can connect.
    pub(crate) tcp: Option<Endpoint>,
    /// The files with which the node proves its name.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<mycelium_transports::tls::TlsFiles>,
    #[cfg(feature = "prometheus")]
    pub(crate) metrics_address: Option<SocketAddr>,
    /// Whether other hosts may read the metrics of the node.
    #[cfg(feature = "prometheus")]
    pub(crate) exposes_metrics: bool,
    /// How often the metrics of the node are exported to a recorder.
    #[cfg(feature = "facade")]
    pub(crate) telemetry_interval: Option<Duration>,
    #[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
    pub(crate) label_sets: Option<usize>,
    /// All nodes of the file.
    pub(crate) nodes: Vec<String>,
    /// The nodes whose actors this node may ask.
    pub(crate) asks: BTreeSet<String>,
    /// The users that own names of nodes.
    pub(crate) owners: BTreeMap<String, u32>,
    /// The node that records topics.
    pub(crate) recorder: Option<String>,
    /// The configuration of links with nodes that the file does not have.
    pub(crate) default_link: LinkConfig,
}

impl NodeSettings {
    pub(super) fn new(node: &str, topology: &Topology) -> NodeSettings {
        let asks = topology.actor_askers().filter(|(_, askers)| askers.contains(&node));
        let owners = topology.owners().map(|(node, user)| (node.to_owned(), user));
        NodeSettings {
            host: topology.host(node).map(str::to_owned),
            executor: topology.executor(node).map(str::to_owned),
            queue: topology.task_queue(node),
            shutdown: topology.shutdown(node),
            memory: topology.memory(node),
            admits_observers: topology.admits_observers(node),
            endpoint: topology.endpoint(node),
            tcp: topology.tcp(node),
            #[cfg(feature = "tls")]
            tls: topology.tls_files(node),
            #[cfg(feature = "prometheus")]
            metrics_address: topology.metrics_address(node),
            #[cfg(feature = "prometheus")]
            exposes_metrics: topology.exposes_metrics(),
            #[cfg(feature = "facade")]
            telemetry_interval: topology.telemetry_interval(),
            #[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
            label_sets: topology.label_sets(),
            nodes: topology.nodes().map(str::to_owned).collect(),
            asks: asks.map(|(asked, _)| asked.to_owned()).collect(),
            owners: owners.collect(),
            recorder: topology.recorder().map(|(node, _)| node.to_owned()),
            default_link: topology.default_link(),
        }
    }
}

/// The settings of a topic. The topology takes precedence over the program.
#[derive(Clone, Debug)]
pub(crate) struct TopicSettings {
    pub(crate) capacity: usize,
    /// The size of the arena of each publisher in bytes, if the file sets it.
    pub(crate) arena: Option<usize>,
    /// What happens to readers that stall publishers of the topic.
    pub(crate) on_stall: OnStall,
    /// The fill level of a ring at which the publisher is under backpressure.
    pub(crate) threshold: Threshold,
    /// Whether messages of the topic have traces, if the node has a tracer.
    pub(crate) is_traced: bool,
    /// The share of the messages whose latency is measured.
    pub(crate) latency_sample: Option<f64>,
    /// What happens to messages that were in flight to a reader's process when the process died.
    pub(crate) redelivery: Redelivery,
    /// The nodes that may read the topic; `None` if the file has no list.
    pub(crate) readers: Option<Vec<String>>,
    /// The nodes in `readers` whose names are trusted even over plain TCP.
    pub(crate) believed: Vec<String>,
    /// The settings of a work queue, if the file makes the topic one.
    pub(crate) work_queue: Option<WorkQueue>,
    /// The carrier of the messages on each link, if the file sets it.
    pub(crate) transport: Option<Carrier>,
    /// Whether the topic carries requests, or their answers.
    pub(crate) carries_requests: bool,
}

/// The settings of topics in the program. The topology takes precedence.
#[derive(Debug, Default)]
pub(crate) struct CodedTopics {
    /// The thresholds of backpressure, in percent.
    pub(crate) thresholds: BTreeMap<String, u32>,
    pub(crate) on_stall: BTreeMap<String, OnStall>,
    pub(crate) latency_samples: BTreeMap<String, f64>,
}

impl CodedTopics {
    /// Checks the program's settings for topics of services that are `known`.
    pub(super) fn check(&self, known: &[(String, BoundPorts)]) -> Result<(), BuildError> {
        let topics = topics_of(known);
        for (topic, &percent) in &self.thresholds {
            let checked = match Threshold::percent(percent) {
                Some(_) => check_known(topic, &topics),
                None => Err(format!("invalid percentage {percent}: expected 1 to 100")),
            };
            checked.map_err(|problem| {
                let topic = topic.escape_debug();
                let problem = format!(
                    "the threshold of topic `{topic}` (`Builder::backpressure_threshold`): {problem}"
                );
                BuildError::new(Code::BACKPRESSURE_THRESHOLD, problem)
            })?;
        }
        for (topic, rule) in &self.on_stall {
            let checked = match rule {
                OnStall::EvictAfter(time) if time.is_zero() => {
                    Err("invalid time: expected more than 0 s".to_owned())
                }
                OnStall::EvictAfter(_) | OnStall::Block => check_known(topic, &topics),
            };
            checked.map_err(|problem| {
                let topic = topic.escape_debug();
                let problem = format!("`Builder::on_stall` of topic `{topic}`: {problem}");
                BuildError::new(Code::ON_STALL, problem)
            })?;
        }
        let requests =
            known.iter().flat_map(|(_, ports)| ports.requests.iter().chain(&ports.answers));
        let requests: BTreeSet<&str> = requests.map(|port| &*port.topic).collect();
        for (topic, &share) in &self.latency_samples {
            let checked = if !(0.0..=1.0).contains(&share) {
                Err(format!("invalid share {share}: expected a number from 0 to 1"))
            } else if requests.contains(&**topic) {
                Err("it has requests, whose latency is not measured".to_owned())
            } else {
                check_known(topic, &topics)
            };
            checked.map_err(|problem| {
                let topic = topic.escape_debug();
                let problem = format!("`Builder::latency_sample` of topic `{topic}`: {problem}");
                BuildError::new(Code::LATENCY_SAMPLE, problem)
            })?;
        }
        Ok(())
    }
}

/// Returns the topics of services.
fn topics_of(services: &[(String, BoundPorts)]) -> BTreeSet<&str> {
    let ports = services.iter().flat_map(|(_, ports)| ports.all());
    ports.map(|port| &*port.topic).collect()
}

fn check_known(topic: &str, topics: &BTreeSet<&str>) -> Result<(), String> {
    if topics.contains(topic) {
        return Ok(());
    }
    let topics: Vec<&str> = topics.iter().copied().collect();
    Err(format!("unknown topic: {}", expected_instead_of(topic, &topics)))
}

impl TopicSettings {
    /// Creates the settings of a topic in `node`.
    pub(super) fn new(
        node: &str,
        topic: &str,
        topology: &Topology,
        coded: &CodedTopics,
    ) -> TopicSettings {
        let readers = topology.readers(topic);
        let believed = readers.iter().flatten();
        let believed = believed.filter(|reader| topology.believes(node, reader, topic));
        let on_stall = topology.on_stall(topic).or(coded.on_stall.get(topic).copied());
        let coded_threshold = || Threshold::percent(*coded.thresholds.get(topic)?);
        let threshold = topology.threshold(topic).or_else(coded_threshold);
        let sample = topology.latency_sample(topic).or(coded.latency_samples.get(topic).copied());
        TopicSettings {
            capacity: topology.capacity(topic),
            arena: topology.arena(topic),
            on_stall: on_stall.unwrap_or_default(),
            threshold: threshold.unwrap_or_default(),
            is_traced: topology.is_traced(topic),
            latency_sample: sample,
            redelivery: topology.redelivery(topic),
            believed: believed.cloned().collect(),
            readers,
            work_queue: topology.work_queue(topic),
            transport: topology.topic_transport(topic),
            carries_requests: topology.carries_requests(topic),
        }
    }

    /// Returns whether messages of the topic stay on the sockets of links, because the file
    /// requests this.
    pub(crate) fn stays_on_socket(&self) -> bool {
        match self.transport {
            Some(Carrier::UnixSocket | Carrier::Tcp | Carrier::Tls) => true,
            Some(Carrier::SharedMemory | Carrier::Zenoh | Carrier::Nats | Carrier::JetStream)
            | None => false,
        }
    }
}

/// The settings of topics, by name.
#[derive(Debug)]
pub(crate) struct AllTopicSettings {
    named: BTreeMap<String, TopicSettings>,
    /// The settings of all topics that neither the program nor the topology names.
    others: TopicSettings,
}

impl AllTopicSettings {
    /// Creates the settings of the topics with these names, in `node`.
    pub(super) fn new<'a>(
        node: &str,
        topology: &Topology,
        names: impl IntoIterator<Item = &'a str>,
        coded: &CodedTopics,
    ) -> AllTopicSettings {
        let of = |topic: &str| TopicSettings::new(node, topic, topology, coded);
        // The empty name, which no topic has, represents all other topics.
        let named = names.into_iter().map(|topic| (topic.to_owned(), of(topic)));
        AllTopicSettings { named: named.collect(), others: of("") }
    }

    pub(crate) fn of(&self, topic: &str) -> &TopicSettings {
        self.named.get(topic).unwrap_or(&self.others)
    }
}

/// The settings of the link with another node.
#[derive(Debug)]
pub(crate) struct LinkSettings {
    /// The configuration of the link. It requires shared memory if a topic of the link does.
    pub(crate) config: LinkConfig,
    /// Whether the topology requires shared memory for the link with all its topics.
    pub(crate) is_in_memory: bool,
    /// The endpoint at which this node connects to the other one, before TLS.
    pub(crate) endpoint: Endpoint,
    /// A topic of the link for which the topology requires shared memory.
    pub(crate) topic_in_memory: Option<String>,
}

impl LinkSettings {
    /// Creates the settings of the link between `node` and `peer`, over TCP or not.
    pub(super) fn new(
        [node, peer]: [&str; 2],
        topology: &Topology,
        topics: &AllTopicSettings,
        peer_topics: &PeerTopics,
        is_over_tcp: bool,
    ) -> LinkSettings {
        let in_memory = |topic: &&str| topics.of(topic).transport == Some(Carrier::SharedMemory);
        let topic_in_memory = peer_topics.shared_with(peer).find(in_memory).map(str::to_owned);
        let mut config = topology.link(node, peer);
        let is_in_memory = config.memory == MemoryUse::Required;
        if topic_in_memory.is_some() {
            config.memory = MemoryUse::Required;
        }
        let far = topology.tcp(peer).filter(|_| is_over_tcp);
        let endpoint = far.unwrap_or_else(|| topology.endpoint(peer));
        LinkSettings { config, is_in_memory, endpoint, topic_in_memory }
    }
}

#[cfg(all(test, feature = "topology"))]
mod tests {
    use mycelium_transports::local::Policy;

    use super::*;

    #[test]
    fn a_topic_that_needs_memory_does_not_need_it_for_the_others_of_its_link() {
        let text = "[node.a]\n[node.b]\n[topic.one]\ntransport = \"shm\"\n";
        let topology = Topology::parse("t.toml", text).unwrap();
        let names = ["one", "two"];
        let topics = AllTopicSettings::new("a", &topology, names, &CodedTopics::default());
        let shared = names.map(|name| (name.into(), Policy::Block)).to_vec();
        let readers = [("b".to_owned(), shared)].into();
        let peer_topics = PeerTopics { readers, ..PeerTopics::default() };
        let link = LinkSettings::new(["a", "b"], &topology, &topics, &peer_topics, false);
        assert_eq!(link.config.memory, MemoryUse::Required);
        assert_eq!(link.topic_in_memory.as_deref(), Some("one"));
        assert!(!link.is_in_memory);
    }
}
