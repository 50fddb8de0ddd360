//! The flow of messages between services, and the cycles in it. In the graph, each topic is a node
//! between its publishers and its readers, so the pairs of publisher and reader are not enumerated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mycelium_core::Code;

use super::graph::Graph;
use super::ports::{BoundPort, BoundPorts};
use crate::error::BuildError;
use crate::topology::{Setting, Topology};

/// The services that publish and read each topic. A service is represented by its index in
/// `services`.
#[derive(Debug)]
pub(super) struct Flows<'a> {
    services: &'a [(String, BoundPorts)],
    topics: BTreeMap<&'a str, TopicFlow<'a>>,
}

#[derive(Debug, Default)]
pub(super) struct TopicFlow<'a> {
    pub(super) writers: Vec<usize>,
    /// The reading services, each with its port.
    readers: Vec<(usize, &'a BoundPort)>,
}

/// Messages of `topic` flow from one service to another.
#[derive(Clone, Copy)]
struct Flow<'a> {
    from: usize,
    topic: &'a str,
    to: usize,
    /// The key of the subscription.
    key: &'a str,
}

impl<'a> Flows<'a> {
    pub(super) fn new(services: &'a [(String, BoundPorts)]) -> Flows<'a> {
        let mut topics = BTreeMap::<&str, TopicFlow<'_>>::new();
        for (number, (_, ports)) in services.iter().enumerate() {
            for port in ports.outputs() {
                topics.entry(&port.topic).or_default().writers.push(number);
            }
            for port in ports.inputs() {
                topics.entry(&port.topic).or_default().readers.push((number, port));
            }
        }
        Flows { services, topics }
    }

    /// Returns the flow of a topic that a service reads.
    pub(super) fn topic(&self, topic: &str) -> Option<&TopicFlow<'a>> {
        self.topics.get(topic)
    }

    /// Returns `starts`, and the services that get messages from them, directly or through others.
    pub(super) fn reached_from(&self, starts: &BTreeSet<String>) -> BTreeSet<&'a str> {
        let names = || self.services.iter().map(|(name, _)| name.as_str()).enumerate();
        let starts = names().filter(|(_, name)| starts.contains(*name)).map(|(number, _)| number);
        let is_reached = self.graph(|_| true).reached_from(starts);
        names().filter(|(number, _)| is_reached[*number]).map(|(_, name)| name).collect()
    }

    /// Returns the graph of services and topics: first the services, then the topics. It has the
    /// subscriptions for which `counts` is true.
    fn graph(&self, counts: impl Fn(&BoundPort) -> bool) -> Graph {
        let mut graph = Graph::new(self.services.len() + self.topics.len());
        for (topic, flow) in (self.services.len()..).zip(self.topics.values()) {
            flow.writers.iter().for_each(|writer| graph.link(*writer, topic));
            let readers = flow.readers.iter().filter(|(_, port)| counts(port));
            readers.for_each(|(reader, _)| graph.link(topic, *reader));
        }
        graph
    }

    /// Returns the name of a service.
    pub(super) fn name(&self, service: usize) -> &'a str {
        &self.services[service].0
    }
}

/// Refuses cycles of gating subscriptions, whose services could deadlock. One subscription that
/// drops messages breaks the cycle.
pub(super) fn refuse_blocking_cycles(
    flows: &Flows<'_>,
    topology: &Topology,
) -> Result<(), BuildError> {
    let waits = |port: &BoundPort| port.options.policy.is_gating() && !port.is_request;
    let circles = flows.graph(waits).circles();
    // Keeps only flows between two services of the same cycle.
    let blocking: Vec<Flow<'_>> = flows
        .services
        .iter()
        .enumerate()
        .filter(|(from, _)| circles[*from].is_some())
        .flat_map(|(from, (_, ports))| ports.emits.iter().map(move |port| (from, &*port.topic)))
        .flat_map(|(from, topic)| {
            let readers = flows.topics[topic].readers.iter();
            let gating = readers.filter(|(_, port)| waits(port));
            gating.map(move |(to, port)| Flow { from, topic, to: *to, key: port.key })
        })
        .filter(|flow| circles[flow.from] == circles[flow.to])
        .collect();
    let Some(first) = blocking.first() else { return Ok(()) };
    let back = path(&blocking, first.to, first.from);
    let mut round = vec![flows.name(first.from).to_owned()];
    let (mut policies, mut services) = (Vec::new(), Vec::new());
    let mut subscriptions = Vec::new();
    for Flow { topic, to, key, .. } in [*first].into_iter().chain(back) {
        let to = flows.name(to);
        round.extend([topic.to_owned(), to.to_owned()]);
        subscriptions.push(format!("`[subscription.\"{to}.{key}\"]`"));
        policies.push(Setting::Policy(to, key));
        services.push(Setting::Service(to));
    }
    let place = policies.into_iter().chain(services).find_map(|it| topology.place_of(it));
    let problem = format!(
        "services deadlock, because each waits for the next one's full queue: {}; let one of these \
         subscriptions drop messages (policy = \"drop-oldest\" or \"latest\" in {})",
        round.join(" -> "),
        subscriptions.join(" or ")
    );
    Err(BuildError::at(place, Code::DEADLOCK, problem))
}

/// Returns the flows on a path from one service of a cycle to another.
fn path<'a>(flows: &[Flow<'a>], from: usize, to: usize) -> Vec<Flow<'a>> {
    let mut ways = vec![Vec::<Flow<'_>>::new()];
    let mut seen = BTreeSet::from([from]);
    while let Some(way) = ways.pop() {
        let here = way.last().map_or(from, |flow| flow.to);
        if here == to {
            return way;
        }
        for flow in flows.iter().filter(|flow| flow.from == here) {
            if seen.insert(flow.to) {
                ways.push(way.iter().chain([flow]).copied().collect());
            }
        }
    }
    Vec::new()
}

/// The subscriptions that close cycles of services, in which the messages of a service cause
/// messages that come back to it. In such a cycle no service can end first.
#[derive(Debug, Default)]
pub(crate) struct Feedback {
    /// The number of the cycle that a subscription closes, by service and topic.
    subscriptions: BTreeMap<String, Vec<(Arc<str>, usize)>>,
    /// For each cycle, the services outside of it that send to it, on any topic.
    before: Vec<BTreeSet<String>>,
}

impl Feedback {
    /// Finds the cycles of these flows, and the subscriptions that close them.
    pub(super) fn all(flows: &Flows<'_>) -> Feedback {
        let groups = flows.graph(|_| true).circles();
        let topics = &groups[flows.services.len()..];
        // Cycles get their own numbers: few groups of the graph are cycles.
        let mut numbers = BTreeMap::<usize, usize>::new();
        let mut feedback = Feedback::default();
        for (flow, topic_group) in flows.topics.values().zip(topics) {
            let mut seen = BTreeSet::new();
            for (reader, port) in &flow.readers {
                let Some(group) = groups[*reader] else { continue };
                let number = *numbers.entry(group).or_insert_with(|| {
                    feedback.before.push(BTreeSet::new());
                    feedback.before.len() - 1
                });
                if seen.insert(group) {
                    let writers = flow.writers.iter();
                    let outside = writers.filter(|writer| groups[**writer] != Some(group));
                    let names = outside.map(|writer| flows.name(*writer).to_owned());
                    feedback.before[number].extend(names);
                }
                if *topic_group == Some(group) {
                    let subscriptions =
                        feedback.subscriptions.entry(flows.name(*reader).to_owned()).or_default();
                    subscriptions.push((port.topic.clone(), number));
                }
            }
        }
        feedback
    }

    /// Returns the cycle that the subscription of a service to a topic closes, if any.
    pub(crate) fn circle(&self, service: &str, topic: &str) -> Option<usize> {
        let subscriptions = self.subscriptions.get(service)?;
        let (_, circle) = subscriptions.iter().find(|(read, _)| **read == *topic)?;
        Some(*circle)
    }

    /// Returns, for each cycle, the services outside it that send to it.
    pub(crate) fn before(&self) -> &[BTreeSet<String>] {
        &self.before
    }
}
