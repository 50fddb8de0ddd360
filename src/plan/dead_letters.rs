//! The readers of dead letters: they end after the services and links that can write dead letters.

use std::collections::{BTreeMap, BTreeSet};

use mycelium_core::Message;

use super::flows::Flows;
use super::peer_topics::PeerTopics;
use super::ports::BoundPorts;
use crate::plan::dead_letter::DeadLetter;

/// How readers of dead letters affect the end of a node. The default is for a node without such
/// readers.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterPlan {
    /// The services that end last: readers of dead letters, and services that get all their
    /// messages from services that end last.
    last: BTreeSet<String>,
    /// Whether a service that ends last shares a topic with another node. The links then cannot end
    /// before that service.
    pub(crate) cross_links: bool,
    /// Whether all services end last, and links may write dead letters. Then only a shutdown ends
    /// the subscriptions to dead letters.
    pub(crate) have_no_end: bool,
    /// Whether a reader of dead letters sends messages, directly or through other services, to a
    /// service that does not end last. That service cannot end before the reader.
    pub(crate) feed_others: bool,
    /// Whether no service and no link of this node can write a dead letter.
    pub(crate) are_never_written: bool,
}

impl DeadLetterPlan {
    pub(super) fn new(
        services: &[(String, BoundPorts)],
        flows: &Flows<'_>,
        peer_topics: &PeerTopics,
    ) -> DeadLetterPlan {
        let readers: BTreeSet<String> = services
            .iter()
            .filter(|(_, ports)| ports.read(DeadLetter::TOPIC))
            .map(|(name, _)| name.clone())
            .collect();
        if readers.is_empty() {
            return DeadLetterPlan::default();
        }
        let mut last = all_after(&readers, services, flows);
        if last.len() == services.len() {
            // If every service would end last, only the readers do: at least one service that can
            // write dead letters must end before them.
            last = readers.clone();
        }
        let (mine, others): (Vec<_>, Vec<_>) =
            services.iter().partition(|(name, _)| last.contains(name));
        let cross_links = mine.iter().any(|(_, ports)| {
            ports.reads.iter().any(|port| peer_topics.writes(&port.topic))
                || ports.emits.iter().any(|port| peer_topics.reads(&port.topic))
        });
        let reached = flows.reached_from(&readers);
        let feed_others = others.iter().any(|(other, _)| reached.contains(other.as_str()));
        let by_services = services.iter().any(|(_, ports)| {
            ports.can_give_up() || ports.emits.iter().any(|port| *port.topic == *DeadLetter::TOPIC)
        });
        let are_never_written = !by_services && !peer_topics.gates();
        let have_no_end = others.is_empty() && peer_topics.gates();
        DeadLetterPlan { last, cross_links, have_no_end, feed_others, are_never_written }
    }

    /// Returns whether a service ends last.
    pub(crate) fn ends_last(&self, service: &str) -> bool {
        self.last.contains(service)
    }

    pub(crate) fn are_read(&self) -> bool {
        !self.last.is_empty()
    }
}

/// Returns `readers`, and all services that get messages only from services that are returned, too.
fn all_after(
    readers: &BTreeSet<String>,
    services: &[(String, BoundPorts)],
    flows: &Flows<'_>,
) -> BTreeSet<String> {
    let mut last = readers.clone();
    loop {
        // Whether all publishers of a topic end last.
        let mut topics = BTreeMap::new();
        let mut is_fed = |topic: &str| {
            let writers = flows.topic(topic).map(|flow| &flow.writers)?;
            let all_last = || writers.iter().all(|writer| last.contains(flows.name(*writer)));
            (!writers.is_empty()).then(|| *topics.entry(topic.to_owned()).or_insert_with(all_last))
        };
        let others = services.iter().filter(|(name, _)| !last.contains(name));
        let next = others.filter(|(_, ports)| {
            let mut fed = ports.inputs().filter_map(|port| is_fed(&port.topic)).peekable();
            fed.peek().is_some() && fed.all(|all_last| all_last)
        });
        let next: Vec<String> = next.map(|(name, _)| name.clone()).collect();
        if next.is_empty() {
            return last;
        }
        last.extend(next);
    }
}
