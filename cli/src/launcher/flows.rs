//! Which nodes send to which, as far as the programs describe it.

use std::collections::{BTreeMap, BTreeSet};

/// The topics of each node. Nodes whose programs do not describe themselves are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    nodes: BTreeMap<String, Topics>,
}

/// The topics of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    /// Topics to which services of the node publish.
    pub publishes: BTreeSet<String>,
    /// Topics that services of the node read.
    pub reads: BTreeSet<String>,
}

impl Flows {
    /// Adds a node.
    pub fn add(&mut self, node: &str, topics: Topics) {
        self.nodes.insert(node.to_owned(), topics);
    }

    /// The topics of a node, if they are known.
    pub fn of(&self, node: &str) -> Option<&Topics> {
        self.nodes.get(node)
    }

    /// The nodes that send to this one.
    pub fn feeders(&self, node: &str) -> Vec<String> {
        let Some(own) = self.of(node) else { return Vec::new() };
        let others = self
            .nodes
            .iter()
            .filter(|(other, topics)| *other != node && !topics.publishes.is_disjoint(&own.reads));
        others.map(|(other, _)| other.clone()).collect()
    }

    /// The changes of the topics that this node exchanges with others: of those that are known, and
    /// were known before. `None` without changes.
    pub fn differs_from(&self, before: &Flows, node: &str) -> Option<String> {
        let others = self.nodes.keys().filter(|other| *other != node);
        let differing: Vec<String> = others
            .filter(|other| match (self.between(node, other), before.between(node, other)) {
                (Some(now), Some(before)) => now != before,
                _ => false,
            })
            .map(|other| format!("its topics with `{other}`"))
            .collect();
        (!differing.is_empty()).then(|| format!("{} changed", differing.join(", ")))
    }

    /// Whether two nodes exchange messages, if that is known.
    pub fn are_peers(&self, one: &str, other: &str) -> Option<bool> {
        Some(!self.between(one, other)?.is_empty())
    }

    /// The topics that two nodes exchange, with the publishing node: `None` if those of one of them
    /// are not known.
    pub fn between(&self, one: &str, other: &str) -> Option<BTreeSet<String>> {
        let (first, second) = (self.of(one)?, self.of(other)?);
        let to = |from: &Topics, to: &Topics, name: &str| -> Vec<String> {
            from.publishes
                .intersection(&to.reads)
                .map(|topic| format!("{topic} of {name}"))
                .collect()
        };
        let mut topics = to(first, second, one);
        topics.extend(to(second, first, other));
        Some(topics.into_iter().collect())
    }
}
