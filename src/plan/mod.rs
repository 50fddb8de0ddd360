//! The plan of a node, checked before anything runs: its topics, their rings and memory, and the
//! flow of messages. `ports` has the topics that services declare, `flows` finds cycles of services
//! in a `graph`, `peer_topics` has the topics that cross links, `carriers` decides whether shared
//! memory or a socket carries them, `topics` has all topics, `memory` counts the bytes of their
//! rings, `dead_letters` decides which services end last, `settings` has the values of the
//! topology, and `supervision` says which supervisor each service has. The topology is not used
//! after the plan is created.
//!
//! `description` is the description of a program, and `dead_letter` the message about a failed
//! message.

mod carriers;
pub(crate) mod dead_letter;
mod dead_letters;
#[cfg(feature = "describe")]
pub(crate) mod description;
mod engines;
mod flows;
mod graph;
mod memory;
mod peer_topics;
mod ports;
mod settings;
mod supervision;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mycelium_core::{Code, Message, message::NO_ID};
use mycelium_transports::link::{MemoryUse, check_readable};
use mycelium_transports::local::{
    self, LatestByKey, PageSize, Readers, Recorded, Retain, Schema, TopicError, Tracer,
};

use crate::error::{BuildError, StartError};
use crate::observe::report::{Carrier, RingMemory, StartWarning};
use crate::plan::dead_letter::DeadLetter;
use crate::support::names::nearest;
use crate::topology::{EngineName, Places, Problem, Retention, Setting, Topology};
pub(crate) use carriers::Carriers;
use dead_letters::DeadLetterPlan;
pub(crate) use engines::EngineTopics;
use engines::{engine_topics, remote_publishers};
pub(crate) use flows::Feedback;
use flows::{Flows, refuse_blocking_cycles};
use memory::{mailbox_memory, ring_memory};
pub(crate) use peer_topics::PeerTopics;
pub(crate) use ports::{Bindings, BoundPort, BoundPorts};
pub use ports::{Port, Ports};
use settings::AllTopicSettings;
pub(crate) use settings::{CodedTopics, LinkSettings, NodeSettings, TopicSettings};
pub(crate) use supervision::{PlannedChild, SupervisionPlan};
use topics::{Members, PlannedTopic, members, topics};

/// The entries in a topic for gating subscriptions that are not in the topology: subscriptions that
/// are created at run time, by other nodes or outside the services.
const SPARE_READERS: usize = 64;

/// The capacity of the dead-letter ring of one service.
const DEAD_LETTERS: usize = 16;

/// The checked plan of a node.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) node: String,
    pub(crate) settings: NodeSettings,
    /// The places in the topology of settings that the start may refuse.
    pub(crate) places: Places,
    topic_settings: AllTopicSettings,
    /// The links of the node, by the name of the other node.
    pub(crate) links: BTreeMap<String, LinkSettings>,
    pub(crate) topics: BTreeMap<Arc<str>, PlannedTopic>,
    /// The memory of all rings.
    pub(crate) memory: RingMemory,
    /// The page size of the rings in shared memory.
    pub(crate) pages: PageSize,
    /// Begins the traces of messages.
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// The subscriptions that close a cycle of services of this node.
    pub(crate) feedback: Feedback,
    /// The topics that the node shares with other nodes.
    pub(crate) peer_topics: PeerTopics,
    /// The topics of the node that engines carry.
    pub(crate) engines: BTreeMap<EngineName, EngineTopics>,
    /// The carriers of the links: shared memory or a kind of socket.
    pub(crate) carriers: Carriers,
    /// The supervisors of the node, and how its services are supervised.
    pub(crate) supervision: SupervisionPlan,
    /// Which services of the node end last, because they read dead letters.
    pub(crate) dead_letters: DeadLetterPlan,
    /// The services of this node.
    services: Vec<(String, BoundPorts)>,
    /// The indices of all `services`, sorted by name.
    by_name: Vec<usize>,
    /// The services of this node that publish and read each topic.
    members: BTreeMap<Arc<str>, Members>,
}

impl Plan {
    /// Checks `services`, in their order of start, against each other and against the topology. The
    /// topology may name all services that are `known`. With a tracer, messages have traces.
    /// `coded` are the program's settings of topics.
    pub(crate) fn new(
        node: &str,
        topology: &Topology,
        known: &[(String, BoundPorts)],
        services: &[(String, BoundPorts)],
        tracer: Option<Arc<Tracer>>,
        coded: &CodedTopics,
    ) -> Result<Plan, BuildError> {
        check_names(topology, known)?;
        coded.check(known)?;
        let ports = known.iter().flat_map(|(_, ports)| ports.inputs().chain(ports.outputs()));
        let names: BTreeSet<&str> =
            ports.map(|port| &*port.topic).chain(topology.topics()).collect();
        let settings = AllTopicSettings::new(node, topology, names, coded);
        let engines = engine_topics(topology, known, services)?;
        let peer_topics = PeerTopics::new(node, topology, known, services)?;
        let obstacle = MemoryUse::obstacle();
        let carriers = Carriers::new(node, topology, &settings, &peer_topics, obstacle)?;
        let links = carriers.links().iter().map(|link| {
            let (nodes, is_over_tcp) = ([node, &link.peer], carriers.over_tcp(&link.peer));
            let of = LinkSettings::new(nodes, topology, &settings, &peer_topics, is_over_tcp);
            (link.peer.clone(), of)
        });
        let links: BTreeMap<String, LinkSettings> = links.collect();
        let all = placed(topology, known).unwrap_or_else(|| services.to_vec());
        check_types(topology, &all)?;
        let mut topics = topics(services);
        let over_links = peer_topics.publishers.values().flatten().map(|(topic, _)| &**topic);
        for topic in over_links.chain(remote_publishers(topology, node, known)) {
            // Each publisher of another node has a ring in this node, too.
            if let Some(planned) = topics.get_mut(topic) {
                planned.publishers += 1;
                planned.remote_publishers += 1;
            }
        }
        let longest = topics.iter().filter(|(topic, _)| ***topic != *DeadLetter::TOPIC);
        let longest = longest.map(|(_, planned)| planned.schema.longest).max().unwrap_or_default();
        let in_memory = |peer: &str| carriers.in_memory(peer);
        let mut gating = BTreeMap::<&str, usize>::new();
        let reads = services.iter().flat_map(|(_, ports)| &ports.reads);
        for port in reads.filter(|port| port.options.policy.keeps()) {
            *gating.entry(&port.topic).or_default() += 1;
        }
        for (topic, planned) in &mut topics {
            let local = gating.get(&**topic).copied().unwrap_or_default();
            let settings = settings.of(topic);
            if **topic == *DeadLetter::TOPIC {
                (planned.schema.longest, planned.schema.arena) = DeadLetter::sizes(longest);
            }
            planned.schema.arena = arena(settings, topology, topic, &planned.schema)?;
            planned.retain = retain(topology, topic, &planned.schema)?;
            planned.capacity = capacity(settings, &links, &peer_topics, topic, &planned.schema);
            let in_memory = |peer: &str| in_memory(peer) && !settings.stays_on_socket();
            let expected = local + peer_topics.entries(topic, in_memory);
            planned.gating = Readers { expected, most: expected + SPARE_READERS };
            planned.is_shared = peer_topics.readers_of(topic).any(|(peer, _)| in_memory(peer));
            planned.area = recorded(settings, tracer.as_ref(), topic).area();
        }
        // Uses only services of this node: a subscription does not wait for publishers in other
        // nodes.
        let feedback = Feedback::all(&Flows::new(services));
        let flows = Flows::new(&all);
        refuse_blocking_cycles(&flows, topology)?;
        let pages = if topology.huge_pages(node) { PageSize::Huge } else { PageSize::Small };
        let mut memory = ring_memory(&topics, services, &peer_topics, &carriers, &settings, pages);
        let mailboxes = mailbox_memory(&settings, services);
        memory.heap = mailboxes.values().fold(memory.heap, |sum, bytes| sum.saturating_add(*bytes));
        let of_node = NodeSettings::new(node, topology);
        let budget = of_node.memory;
        if memory.total() > budget {
            let place = topology.place_of(Setting::Memory(node));
            let place = place.or_else(|| place_of_largest(topology, node, &topics));
            let rings = topics.iter().map(|(topic, planned)| {
                let alone = BTreeMap::from([(topic.clone(), *planned)]);
                let memory =
                    ring_memory(&alone, services, &peer_topics, &carriers, &settings, pages);
                (&**topic, memory.total())
            });
            let of_all = rings.chain(mailboxes);
            let (topic, _) = of_all.max_by_key(|(_, bytes)| *bytes).unwrap_or_default();
            let shared = match memory.shared {
                0 => String::new(),
                shared => format!(" ({shared} of them in shared memory)"),
            };
            let hint = match memory.huge_pages {
                0 => "",
                _ => {
                    ", or remove `huge_pages`: each ring in shared memory then takes whole pages \
                     of 2 MiB"
                }
            };
            let problem = format!(
                "rings of node `{node}` take {} bytes{shared}, but may take {budget}, and topic \
                 `{topic}` takes most: lower its {}, or raise `memory` of the node{hint}",
                memory.total(),
                match topics.get(topic).map(|it| (it.schema.arena > 0, it.retain.is_some())) {
                    Some((true, true)) => "`capacity`, `arena` or `retain`",
                    Some((false, true)) => "`capacity` or `retain`",
                    Some((true, false)) => "`capacity` or `arena`",
                    _ => "`capacity`",
                }
            );
            return Err(BuildError::at(place, Code::RING_MEMORY, problem));
        }
        let dead_letters = DeadLetterPlan::new(services, &flows, &peer_topics);
        let members = members(services);
        let mut by_name: Vec<usize> = (0..services.len()).collect();
        by_name.sort_by_key(|place| &services[*place].0);
        let peers = links.keys().map(String::as_str);
        Ok(Plan {
            settings: of_node,
            places: topology.places_for(node, peers),
            topic_settings: settings,
            links,
            topics,
            memory,
            pages,
            tracer,
            feedback,
            peer_topics,
            engines,
            carriers,
            dead_letters,
            supervision: SupervisionPlan::default(),
            node: node.to_owned(),
            services: services.to_vec(),
            by_name,
            members,
        })
    }

    /// Returns the strictest policy of this node's subscriptions to a topic.
    #[cfg(feature = "describe")]
    pub(crate) fn strictest(&self, topic: &str) -> Option<local::Policy> {
        let reads = self.services.iter().flat_map(|(_, ports)| &ports.reads);
        reads.filter(|port| *port.topic == *topic).map(|port| port.options.policy).min()
    }

    /// Returns the settings of a topic. The topology takes precedence over the program.
    pub(crate) fn topic(&self, topic: &str) -> &TopicSettings {
        self.topic_settings.of(topic)
    }

    /// Returns the tracer that begins the traces of a topic; `None` if the topic is not traced.
    pub(crate) fn tracer_of(&self, topic: &str) -> Option<Arc<Tracer>> {
        self.tracer.clone().filter(|_| is_traced(self.topic(topic), topic))
    }

    /// Returns whether traces and latencies are recorded with each message of a topic.
    pub(crate) fn recorded(&self, topic: &str) -> Recorded {
        recorded(self.topic(topic), self.tracer.as_ref(), topic)
    }

    /// Returns how shared memory is used for a topic's rings that other nodes read: the page size,
    /// and whether it is required.
    pub(crate) fn ring_memory(&self, topic: &str) -> local::RingMemory {
        let is_required = self.pages == PageSize::Huge || self.needs_memory(topic).is_some();
        local::RingMemory::Shared { pages: self.pages, is_required }
    }

    /// Returns a node that reads a topic and requires shared memory for it.
    fn needs_memory(&self, topic: &str) -> Option<&str> {
        let of_topic = self.topic(topic).transport == Some(Carrier::SharedMemory);
        let mut readers = self.peer_topics.readers_of(topic).map(|(node, _)| node);
        readers.find(|node| of_topic || self.links[*node].is_in_memory)
    }

    /// Converts the error of a topic. If shared memory is the reason, the result names the place in
    /// the topology that requests it.
    pub(crate) fn start_error(&self, error: BuildError) -> StartError {
        let (topic, problem) = match error {
            BuildError::Topic(TopicError::Memory { topic, problem }) => (topic, problem),
            BuildError::Topic(ref lack @ TopicError::Retained { ref topic, .. }) => {
                let place = self.places.of(Setting::Retain(topic));
                return StartError::at(place, lack.code(), lack.to_string());
            }
            error => return error.into(),
        };
        let of_topic = || self.places.of(Setting::Transport(&topic));
        let of_link =
            || self.places.of(Setting::LinkTransport(&self.node, self.needs_memory(&topic)?));
        let place = self.places.of(Setting::HugePages(&self.node)).or_else(of_topic);
        let place = place.or_else(of_link);
        let problem = format!("topic `{topic}`: {problem}");
        StartError::without_memory(&self.node, place, &problem)
    }

    /// Checks that the system still has the huge pages of the plan. `free` returns the number of
    /// free huge pages.
    pub(crate) fn check_huge_pages(&self, free: fn() -> usize) -> Result<(), StartError> {
        let needed = self.memory.huge_pages;
        if needed == 0 || needed <= free() {
            return Ok(());
        }
        let place = self.places.of(Setting::HugePages(&self.node));
        let problem = format!(
            "`huge_pages` needs pages of 2 MiB, and the system has fewer than {needed} free: \
             reserve them (`sysctl vm.nr_hugepages={needed}`, more if other programs use some), or remove \
             the key"
        );
        Err(StartError::without_memory(&self.node, place, &problem))
    }

    /// Returns the ports of a service of this node.
    pub(crate) fn ports(&self, service: &str) -> BoundPorts {
        self.ports_of(service).cloned().unwrap_or_default()
    }

    fn ports_of(&self, service: &str) -> Option<&BoundPorts> {
        let name = |place: &usize| self.services[*place].0.as_str();
        let found = self.by_name.binary_search_by(|place| name(place).cmp(service)).ok()?;
        Some(&self.services[self.by_name[found]].1)
    }

    /// Returns the topics that a service of this node publishes, or requests.
    pub(crate) fn emitted_by(&self, service: &str) -> BTreeSet<&str> {
        let ports = self.ports_of(service);
        ports.into_iter().flat_map(BoundPorts::outputs).map(|port| &*port.topic).collect()
    }

    /// Returns the services of this node that read a topic.
    pub(crate) fn readers(&self, topic: &str) -> Vec<String> {
        let members = self.members.get(topic);
        self.names(members.map_or(&[], |members| &members.readers)).map(str::to_owned).collect()
    }

    /// Returns the services of this node that publish a topic.
    pub(crate) fn publishers(&self, topic: &str) -> impl Iterator<Item = &str> {
        let members = self.members.get(topic);
        self.names(members.map_or(&[], |members| &members.publishers))
    }

    fn names<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = &'a str> {
        places.iter().map(|place| self.services[*place].0.as_str())
    }

    pub(crate) fn capacity(&self, topic: &str) -> usize {
        match self.topics.get(topic) {
            Some(planned) => planned.capacity,
            None if topic == DeadLetter::TOPIC => DEAD_LETTERS,
            None => self.topic(topic).capacity,
        }
    }

    /// Returns the warnings of the start: topics that are only read or only published, and readers
    /// of dead letters that cannot get any. Probably a service is missing.
    pub(crate) fn warnings(&self) -> Vec<StartWarning> {
        let mut warnings = Vec::new();
        if self.services.is_empty() {
            warnings.push(StartWarning::EmptyNode { node: self.node.clone() });
        }
        let (mut published, mut reads) =
            (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (topic, planned) in self.topics.iter().filter(|(_, planned)| planned.publishers > 0) {
            published.entry(planned.schema.name()).or_default().push(&**topic);
        }
        for (service, ports) in &self.services {
            for port in &ports.reads {
                reads.entry(&*port.topic).or_default().push((service.as_str(), port.key));
            }
        }
        let topics = self.topics.iter().filter(|(topic, _)| ***topic != *DeadLetter::TOPIC);
        // Behind an engine there may be nodes of other topologies.
        let topics = topics.filter(|(topic, _)| !self.engines.values().any(|of| of.has(topic)));
        for (topic, planned) in topics {
            match (planned.publishers, planned.readers) {
                (0, _) => {
                    let similar =
                        published.get(planned.schema.name()).map_or(&[][..], Vec::as_slice);
                    let reads = reads.get(&**topic).map_or(&[][..], Vec::as_slice);
                    warnings.push(self.no_publisher(topic, planned, similar, reads));
                }
                (_, 0) if self.peer_topics.reads(topic) => {}
                (_, 0) => warnings.push(StartWarning::NoReader {
                    topic: topic.to_string(),
                    message: planned.schema.name(),
                    is_own: self.is_own(topic),
                    publishers: self.publishers(topic).map(str::to_owned).collect(),
                }),
                _ => {}
            }
        }
        let requests = self.services.iter().flat_map(|(_, ports)| &ports.requests);
        let requests: BTreeMap<&str, &BoundPort> =
            requests.map(|port| (&*port.topic, port)).collect();
        for (topic, port) in requests {
            if self.readers(topic).is_empty() {
                warnings.push(StartWarning::NoResponder {
                    topic: topic.to_owned(),
                    message: port.schema.name(),
                    requesters: self.publishers(topic).map(str::to_owned).collect(),
                });
            }
        }
        if self.dead_letters.are_never_written {
            let readers = self.readers(DeadLetter::TOPIC);
            warnings.push(StartWarning::NoDeadLetters { readers });
        }
        if self.pages == PageSize::Huge && self.memory.huge_pages == 0 {
            let place = self.places.of(Setting::HugePages(&self.node)).unwrap_or_default();
            warnings.push(StartWarning::UnusedHugePages { node: self.node.clone(), place });
        }
        warnings
    }

    /// Returns the warning of a topic that these ports read but no service publishes. If a
    /// `published` topic of the same message has a similar name, a binding is probably misspelt.
    fn no_publisher(
        &self,
        topic: &str,
        planned: &PlannedTopic,
        published: &[&str],
        reads: &[(&str, &str)],
    ) -> StartWarning {
        let place = |&(service, port): &(&str, &str)| self.places.of(Setting::Port(service, port));
        StartWarning::NoPublisher {
            topic: topic.to_owned(),
            message: planned.schema.name(),
            is_own: self.is_own(topic),
            place: reads.iter().find_map(place),
            nearest: nearest(topic, published).map(str::to_owned),
            readers: self.readers(topic),
        }
    }

    /// Returns whether a service declares the topic by its message type.
    fn is_own(&self, topic: &str) -> bool {
        self.members.get(topic).is_some_and(|members| members.is_own)
    }
}

/// Returns the services of all nodes, if the topology places services.
fn placed(
    topology: &Topology,
    known: &[(String, BoundPorts)],
) -> Option<Vec<(String, BoundPorts)>> {
    let names: BTreeSet<&str> = topology.placements().flat_map(|(_, services)| services).collect();
    let placed = known.iter().filter(|(name, _)| names.contains(name.as_str()));
    (!names.is_empty()).then(|| placed.cloned().collect())
}

/// Checks that all names of the topology exist in the program.
fn check_names(topology: &Topology, known: &[(String, BoundPorts)]) -> Result<(), BuildError> {
    let ports = known.iter().flat_map(|(_, ports)| ports.inputs().chain(ports.outputs()));
    let topics: BTreeSet<&str> = ports.map(|port| &*port.topic).collect();
    topology.check_topics(&topics.into_iter().collect::<Vec<_>>())?;
    let requests = known.iter().flat_map(|(_, ports)| ports.requests.iter().chain(&ports.answers));
    requests.map(|port| &port.topic).try_for_each(|topic| topology.check_request_topic(topic))?;
    topology.check_lists()?;
    let subscriptions = known.iter().flat_map(|(name, ports)| {
        ports.inputs().map(move |port| (name.as_str(), port.key, !port.has_own_topic))
    });
    topology.check_subscriptions(&subscriptions.collect::<Vec<_>>())?;
    Ok(())
}

/// Returns the size of the arenas of a topic.
fn arena(
    settings: &TopicSettings,
    topology: &Topology,
    topic: &str,
    schema: &Schema,
) -> Result<usize, BuildError> {
    let Some(bytes) = settings.arena else { return Ok(schema.arena) };
    let least = schema.longest.saturating_mul(2);
    let problem = match schema.is_fixed {
        true => format!(
            "topic `{topic}` carries `{}`, whose messages all have {} bytes and are in the slots: \
             remove `arena`",
            schema.name(),
            schema.longest
        ),
        false if bytes < least => format!(
            "topic `{topic}` carries `{}`, whose messages may have {} bytes: expected an `arena` \
             of at least {least} bytes, found {bytes}",
            schema.name(),
            schema.longest
        ),
        false => return Ok(bytes),
    };
    Err(BuildError::at(topology.place_of(Setting::Arena(topic)), Code::TOPIC_ARENA, problem))
}

/// Returns what each publisher of a topic retains for later readers.
fn retain(topology: &Topology, topic: &str, schema: &Schema) -> Result<Option<Retain>, BuildError> {
    let Some(retention) = topology.retention(topic) else { return Ok(None) };
    let at = |code, problem: String| {
        BuildError::at(topology.place_of(Setting::Retain(topic)), code, problem)
    };
    Ok(Some(match retention {
        Retention::Last(count) => Retain::Last(*count),
        Retention::ByKey { key, keys, when_full } => {
            let key = LatestByKey::in_schema(schema, key, *keys);
            let key = key.map_err(|error| at(Code::KEY_FIELD, error.to_string()))?;
            Retain::ByKey { key, when_full: *when_full }
        }
    }))
}

/// Returns the number of slots in the rings of a topic: its capacity and, if a gating subscription
/// reads it over a link, at least the window of the link.
fn capacity(
    settings: &TopicSettings,
    links: &BTreeMap<String, LinkSettings>,
    peer_topics: &PeerTopics,
    topic: &str,
    schema: &Schema,
) -> usize {
    if topic == DeadLetter::TOPIC {
        return DEAD_LETTERS;
    }
    let windows = peer_topics.sharing(topic).map(|other| links[other].config.window.slots(schema));
    windows.chain([settings.capacity]).max().unwrap_or(2)
}

/// Returns the place in the topology that sets the largest capacity of these topics, or otherwise
/// the place of the node.
fn place_of_largest(
    topology: &Topology,
    node: &str,
    topics: &BTreeMap<Arc<str>, PlannedTopic>,
) -> Option<String> {
    let place = |topic: &str| topology.place_of(Setting::Capacity(topic));
    let set = topics.keys().filter_map(|topic| Some((topology.capacity(topic), place(topic)?)));
    let (_, place) = set.max_by_key(|(capacity, _)| *capacity).unzip();
    place.or_else(|| topology.place_of(Setting::Node(node)))
}

/// Checks that each topic has one message type, and each id one layout; a message may have no id.
fn check_types(topology: &Topology, known: &[(String, BoundPorts)]) -> Result<(), BuildError> {
    let nodes: BTreeMap<&str, &str> = topology
        .placements()
        .flat_map(|(node, services)| services.into_iter().map(move |service| (service, node)))
        .collect();
    // Programs of two nodes may have two versions of a message. The services that carry requests
    // between them are planned here for both, in the version of this program.
    let carrying = known.iter().filter(|(_, ports)| ports.carries_requests());
    let carrying: BTreeSet<&str> = carrying.map(|(service, _)| &**service).collect();
    let place = |service: &str| (!carrying.contains(service)).then(|| nodes.get(service));
    let are_apart = |one: &str, other: &str| place(one).is_none() || place(one) != place(other);
    let is_readable = |(one, first): (&str, &BoundPort), (other, second): (&str, &BoundPort)| {
        first.schema == second.schema
            || are_apart(one, other) && check_readable(&first.schema, &second.schema).is_ok()
    };
    // One service for each version and place: a topic may have many.
    type Known<'a> = Vec<(&'a str, &'a BoundPort)>;
    let is_known = |known: &Known<'_>, service: &str, port: &BoundPort| {
        let mut known = known.iter();
        known.any(|(other, it)| it.schema == port.schema && place(other) == place(service))
    };
    let mut topics = BTreeMap::<&str, Known<'_>>::new();
    let mut ids = BTreeMap::<u16, Known<'_>>::new();
    // Publishers first, so that an error names the wrong reader and the topic's publisher.
    let ports = known
        .iter()
        .flat_map(|(service, ports)| ports.outputs().map(move |port| (&**service, port)))
        .chain(
            known
                .iter()
                .flat_map(|(service, ports)| ports.inputs().map(move |port| (&**service, port))),
        );
    for (service, port) in ports {
        // Calls and answers share the id of their request.
        let carries_requests = port.is_request && !port.has_own_topic;
        if port.schema.id != NO_ID && !carries_requests {
            let known = ids.entry(port.schema.id).or_default();
            let other = known.iter().find(|(other, same_id)| {
                let is_version = same_id.topic == port.topic && are_apart(other, service);
                same_id.schema != port.schema && !is_version
            });
            if let Some((_, other)) = other {
                let (id, first, second) = (port.schema.id, other.schema.path, port.schema.path);
                return Err(BuildError::id_twice(id, first, second));
            }
            if !is_known(known, service, port) {
                known.push((service, port));
            }
        }
        let known = topics.entry(&port.topic).or_default();
        if let Some(first) = known.iter().find(|first| !is_readable(**first, (service, port))) {
            return Err(wrong_type(topology, *first, (service, port)));
        }
        if !is_known(known, service, port) {
            known.push((service, port));
        }
    }
    Ok(())
}

/// Returns the error of two ports on one topic with different messages.
fn wrong_type(
    topology: &Topology,
    (first_service, first): (&str, &BoundPort),
    (second_service, second): (&str, &BoundPort),
) -> BuildError {
    let way_out = match first.has_own_topic && second.has_own_topic {
        true => "give one message another topic (`#[message(topic = ..)]`), or use a named port",
        false => "bind one of them to another topic",
    };
    let difference = check_readable(&first.schema, &second.schema).err();
    let of_versions = difference.filter(|_| first.schema.name() == second.schema.name());
    let difference = of_versions.map(|it| format!("; {it}")).unwrap_or_default();
    let text = format!(
        "topic `{}` carries `{}` messages at `{}`, but `{}` messages at `{}`: a topic has one \
         message type, so {way_out}{difference}",
        first.topic,
        first.schema.name(),
        first.member_name(first_service),
        second.schema.name(),
        second.member_name(second_service)
    );
    let problem = Problem::new(Code::TOPIC_TYPE, text);
    let ports =
        [Setting::Port(second_service, second.key), Setting::Port(first_service, first.key)];
    match ports.into_iter().find(|port| topology.place_of(*port).is_some()) {
        Some(port) => BuildError::Topology(topology.error_at(port, problem)),
        None => problem.into(),
    }
}

/// Returns whether traces and latencies are recorded with each message of a topic.
fn recorded(settings: &TopicSettings, tracer: Option<&Arc<Tracer>>, topic: &str) -> Recorded {
    Recorded {
        tracer: tracer.filter(|_| is_traced(settings, topic)).cloned(),
        latency_sample: settings.latency_sample,
    }
}

/// Returns whether messages of a topic have traces in a node with a tracer. Dead letters have none:
/// each is about a message that may have a trace.
fn is_traced(settings: &TopicSettings, topic: &str) -> bool {
    topic != DeadLetter::TOPIC && settings.is_traced
}
