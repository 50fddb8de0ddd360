//! The types of the overview of a topology with its programs: nodes, topics and links, as planned
//! by all nodes. `node/overview/mod.rs` fills them.

use std::time::Duration;

use mycelium_transports::local::Policy;
use serde::{Serialize, Serializer};

use crate::observe::report::{Carrier, RingMemory};
use crate::plan::description::Description;
use crate::topology::LegacyType;

/// A node of a topology, and the program that runs it: the input of
/// [`Topology::overview`](crate::Topology::overview).
#[derive(Clone, Copy, Debug)]
pub struct NodeProgram<'a> {
    /// The node.
    pub node: &'a str,
    /// The program in a readable form, such as its command.
    pub program: &'a str,
    /// The description of the program.
    pub description: &'a Description,
}

/// The nodes, topics and links of a topology, with memory, policies and budgets; created by
/// [`Topology::overview`](crate::Topology::overview). Needs the feature `describe`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Overview {
    /// The nodes, by name.
    pub nodes: Vec<NodeOverview>,
    /// The topics of messages, by name.
    pub topics: Vec<TopicOverview>,
    /// The links between nodes, by their names.
    pub links: Vec<LinkOverview>,
    /// The topics of requests, by name.
    pub requests: Vec<RequestOverview>,
    /// The listeners for clients of the original system.
    pub listeners: Vec<ListenerOverview>,
    /// Probable mistakes: the nodes run, but not as their authors want.
    pub warnings: Vec<OverviewWarning>,
}

/// A node: a process with services.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NodeOverview {
    /// The name of the node.
    pub name: String,
    /// The program that runs the node.
    pub program: String,
    /// The machine on which the node runs, if the topology has hosts.
    pub host: Option<String>,
    /// The kind of executor that the file requests.
    pub executor: Option<String>,
    /// How long a shutdown waits for services.
    #[serde(serialize_with = "as_text")]
    pub shutdown: Duration,
    /// How long a service may stay in one poll before it is reported.
    #[serde(serialize_with = "as_text_if_any")]
    pub watchdog: Option<Duration>,
    /// The memory of the rings of the node.
    pub memory: MemoryOverview,
    /// The services of the node, in the order in which they start.
    pub services: Vec<ServiceOverview>,
    /// The supervisors of the node; each one is after its parent.
    pub supervisors: Vec<SupervisorOverview>,
}

/// The memory of a node's rings in bytes, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryOverview {
    /// The bytes that the rings take.
    #[serde(flatten)]
    pub rings: RingMemory,
    /// The limit for these bytes: `memory` of the node.
    pub budget: usize,
}

/// A service of a node.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ServiceOverview {
    /// The name of the service.
    pub name: String,
    /// Whether the library adds the service, for requests between nodes or for clients of the
    /// original system.
    pub is_added: bool,
    /// How the service is executed, as keys of the topology.
    pub execution: String,
    /// The supervisor of the service, if it has one.
    pub supervisor: Option<String>,
    /// Whether the service is restarted after its end: `permanent`, `transient` or `temporary`.
    pub lifetime: &'static str,
    /// The maximum number of restarts within the window; `None` if only the supervisor limits them.
    pub max_restarts: Option<u32>,
    /// The subscriptions of the service.
    pub reads: Vec<PortOverview>,
    /// The publishers of the service.
    pub emits: Vec<PortOverview>,
    /// The requests that the service makes.
    pub requests: Vec<PortOverview>,
    /// The requests that the service answers.
    pub answers: Vec<PortOverview>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PortOverview {
    /// The topic of the port.
    pub topic: String,
    /// The name of the port, if it is a named port.
    pub port: Option<String>,
    /// What happens when the subscription is slower than a publisher; `None` for a publisher.
    #[serde(serialize_with = "policy_as_text")]
    pub policy: Option<Policy>,
    /// Whether a subscription begins with the oldest retained message.
    pub from_oldest: bool,
}

/// A supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SupervisorOverview {
    /// The name of the supervisor.
    pub name: String,
    /// `one-for-one`, `one-for-all` or `rest-for-one`.
    pub strategy: &'static str,
    /// The maximum number of restarts of all children together within the window.
    pub max_restarts: u32,
    /// The window of the limit.
    #[serde(serialize_with = "as_text")]
    pub window: Duration,
    /// The supervisor above this one, if there is one.
    pub parent: Option<String>,
    /// The services and supervisors below this one, in the order in which they start.
    pub children: Vec<String>,
}

/// A topic of messages.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TopicOverview {
    /// The name of the topic.
    pub name: String,
    /// The name of the message type of the topic.
    pub message: String,
    /// The id of the message, if it has one.
    pub id: Option<u16>,
    /// The size of a message in bytes, or of the longest one.
    pub size: usize,
    /// The digest of the layout of the message.
    pub digest: String,
    /// Whether the topic carries requests or replies between nodes.
    pub carries_requests: bool,
    /// The services that publish the topic.
    pub publishers: Vec<MemberOverview>,
    /// The services that subscribe to the topic.
    pub readers: Vec<MemberOverview>,
    /// How long a reader may stall its publishers before it is evicted; `None`: without a limit.
    #[serde(serialize_with = "as_text_if_any")]
    pub evict_after: Option<Duration>,
    /// The list at the end of the message, which a publisher can write in place; `None` if it does
    /// not end with a list of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<ListOverview>,
    /// The rings of the topic in each node that publishes or reads the topic.
    pub rings: Vec<RingOverview>,
}

/// The list at the end of a message, which [`Context::reserve`](crate::Context::reserve) writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ListOverview {
    /// The field.
    pub field: String,
    /// Why the list is copied when it is sent; `None` if it is written in the ring.
    pub copied_because: Option<String>,
}

/// A service that publishes, reads, requests or answers a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemberOverview {
    /// The node.
    pub node: String,
    /// The service.
    pub service: String,
    /// The port, and its policy.
    #[serde(flatten)]
    pub port: PortOverview,
}

/// The rings of a topic in a node: one for each publisher in this node, and one for each publisher
/// in another node that this node reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RingOverview {
    /// The node.
    pub node: String,
    /// The number of rings.
    pub rings: usize,
    /// The number of slots of each ring.
    pub capacity: usize,
    /// The size of a slot in bytes.
    pub slot_bytes: usize,
    /// The size of the arena of each ring in bytes; `None` if all messages have the same size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arena_bytes: Option<usize>,
    /// What each publisher retains for later readers; `None` if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained: Option<RetainedOverview>,
    /// Whether the rings of this node's publishers are in shared memory.
    pub is_shared: bool,
}

/// What a publisher retains for readers that join later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RetainedOverview {
    /// The most messages.
    pub most: usize,
    /// The bytes of memory for all of them.
    pub bytes: usize,
}

/// A link between two nodes, or the topics that they exchange through an engine.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LinkOverview {
    /// The two nodes, by name.
    pub nodes: [String; 2],
    /// The carrier of the messages.
    #[serde(serialize_with = "carrier_as_text")]
    pub carrier: Carrier,
    /// Why the carrier of a link is not shared memory; `None` if it is.
    pub reason: Option<String>,
    /// The topics that cross the link.
    pub flows: Vec<FlowOverview>,
}

/// A topic that one node reads from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlowOverview {
    /// The topic.
    pub topic: String,
    /// The node that publishes the topic.
    pub from: String,
    /// The node that reads the topic.
    pub to: String,
    /// The strictest policy of the subscriptions of the reading node.
    #[serde(serialize_with = "policy_as_text")]
    pub policy: Option<Policy>,
    /// Whether the messages of the topic stay on the socket although the link uses shared memory.
    pub is_on_socket: bool,
}

/// A topic of requests.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RequestOverview {
    /// The name of the topic.
    pub topic: String,
    /// The name of the request type.
    pub message: String,
    /// The capacity of the mailbox of the topic, in requests.
    pub capacity: usize,
    /// The services that make the requests.
    pub requesters: Vec<MemberOverview>,
    /// The services that answer the requests.
    pub responders: Vec<MemberOverview>,
}

/// A listener for clients of the original system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ListenerOverview {
    /// The name of the listener.
    pub name: String,
    /// The node that listens, if the file has nodes.
    pub node: Option<String>,
    /// The endpoint of the listener.
    pub endpoint: String,
    /// The types of the original system that the listener maps to topics.
    pub types: Vec<LegacyType>,
}

/// A probable mistake in a topology or program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OverviewWarning {
    /// The nodes that would log the warning at their start.
    pub nodes: Vec<String>,
    /// The mistake, and what was expected.
    pub text: String,
}

fn text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn as_text<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*duration))
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
fn as_text_if_any<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(text).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
fn policy_as_text<S: Serializer>(
    policy: &Option<Policy>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    policy.map(|policy| policy.to_string()).serialize(serializer)
}

fn carrier_as_text<S: Serializer>(carrier: &Carrier, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(carrier.key())
}
