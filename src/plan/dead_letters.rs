//! Services that read dead letters: they end after the services and links that can make some.

use std::collections::BTreeSet;

use mycelium_core::Message;

use super::flows::{Flow, reaches};
use super::peer_topics::PeerTopics;
use super::ports::Ports;
use crate::dead_letter::DeadLetter;

/// What the end of a node has to do with its readers of dead letters. The default is for a node without any.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterPlan {
    /// Services that end after the others: those that read dead letters, and those all of whose messages come from such.
    last: BTreeSet<String>,
    /// The last ones read from another node or emit to one: links cannot end before they do.
    pub(crate) cross_links: bool,
    /// There are no others, and links may give up what the last ones send: only a shutdown says that nothing more comes.
    pub(crate) have_no_end: bool,
    /// A service that is none of the last ones waits for messages of one of them.
    pub(crate) feed_others: bool,
    /// No service and no link of this node can give up a message.
    pub(crate) are_never_written: bool,
}

impl DeadLetterPlan {
    pub(super) fn new(
        services: &[(String, Ports)],
        flows: &[Flow],
        peer_topics: &PeerTopics,
    ) -> DeadLetterPlan {
        let readers: BTreeSet<String> = services
            .iter()
            .filter(|(_, ports)| ports.reads_dead_letters())
            .map(|(name, _)| name.clone())
            .collect();
        if readers.is_empty() {
            return DeadLetterPlan::default();
        }
        let mut last = readers.clone();
        while let Some(name) = next_after(&last, services, flows) {
            last.insert(name);
        }
        if last.len() == services.len() {
            // Nobody would be left to make letters.
            last = readers.clone();
        }
        let (mine, others): (Vec<_>, Vec<_>) =
            services.iter().partition(|(name, _)| last.contains(name));
        let cross_links = mine.iter().any(|(_, ports)| {
            ports.reads.iter().any(|port| peer_topics.writes(port.topic))
                || ports.emits.iter().any(|port| peer_topics.reads(port.topic))
        });
        let feed_others = others
            .iter()
            .any(|(other, _)| readers.iter().any(|reader| reaches(flows, reader, other)));
        let by_services = services.iter().any(|(_, ports)| {
            ports.can_give_up() || ports.emits.iter().any(|port| port.topic == DeadLetter::TOPIC)
        });
        let are_never_written = !by_services && !peer_topics.gates();
        let have_no_end = others.is_empty() && peer_topics.gates();
        DeadLetterPlan { last, cross_links, have_no_end, feed_others, are_never_written }
    }

    /// Whether a service ends after the others.
    pub(crate) fn ends_last(&self, service: &str) -> bool {
        self.last.contains(service)
    }

    pub(crate) fn are_read(&self) -> bool {
        !self.last.is_empty()
    }
}

/// A service that gets messages only from those that end last, and is none of them yet.
fn next_after(
    last: &BTreeSet<String>,
    services: &[(String, Ports)],
    flows: &[Flow],
) -> Option<String> {
    let mut names = services.iter().map(|(name, _)| name).filter(|name| !last.contains(*name));
    let next = names.find(|name| {
        let mut before = flows.iter().filter(|flow| flow.to == **name).peekable();
        before.peek().is_some() && before.all(|flow| last.contains(&flow.from))
    });
    next.cloned()
}
