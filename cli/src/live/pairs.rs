//! Readers that two processes count: their own one, and that of the publisher.
//!
//! Readers in shared memory take messages without a word to the publisher, whose process counts
//! them when it needs room, and each few seconds. Their own process counts each message at once.

use std::collections::HashMap;

use super::model::{Node, add};

/// Counts for each reader in the shared memory of a node what its own process has counted, if that
/// is among `nodes`. Otherwise the reader is stale, and at most a whole ring waits for it.
pub(super) fn pair(nodes: &mut [Node]) {
    let mut sequences: HashMap<(String, [String; 3]), Vec<u64>> = HashMap::new();
    for node in nodes.iter_mut() {
        for edge in node.edges.extract_if(.., |edge| edge.is_remote) {
            let reader = sequences.entry((node.name.clone(), edge.ring)).or_default();
            reader.push(edge.joined_at.saturating_add(edge.done));
        }
    }
    for node in nodes {
        for edge in std::mem::take(&mut node.edges) {
            let [topic, publisher, _] = &edge.ring;
            let ring = node.outputs.get(&(topic.clone(), publisher.clone()));
            let capacity = ring.and_then(|ring| ring.capacity).unwrap_or(u64::MAX);
            let key = (topic.clone(), publisher.clone(), edge.reader.clone());
            let Some(input) = node.inputs.get_mut(&key).filter(|_| edge.is_in_memory) else {
                continue;
            };
            let sequences = sequences.get(&(edge.reader, edge.ring));
            // The ring no longer has earlier messages. So a reader that is behind them drops
            // messages, and does not hold up the publisher as one beside it may do.
            let oldest = edge.offered.saturating_sub(capacity);
            let counts = sequences.into_iter().flatten();
            let counts = counts.map(|sequence| sequence.saturating_sub(edge.joined_at));
            let done = counts.filter(|done| *done >= oldest).min();
            // A fast publisher may have sent a ring of messages since the reader was read.
            input.is_stale |= done.is_none();
            let done = done.unwrap_or(oldest);
            let more = done.min(edge.offered).saturating_sub(edge.done);
            add(&mut input.taken, more);
            add(&mut input.done, more);
            input.depth = input.depth.saturating_sub(more);
        }
        node.set_depths();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::model::{Edge, Input, Output};

    /// Returns the node of a publisher that has sent a thousand messages to a ring of 100 slots,
    /// and counts 10 of them as taken by the node `desk`.
    fn feed() -> Node {
        let input = Input { offered: 1000, taken: 10, done: 10, depth: 990, ..Input::default() };
        let output = Output { capacity: Some(100), ..Output::default() };
        Node {
            inputs: [(("t".into(), "P".into(), "desk".into()), input)].into(),
            outputs: [(("t".into(), "P".into()), output)].into(),
            edges: vec![edge("desk", false, 10)],
            ..Node::default()
        }
    }

    fn edge(reader: &str, is_remote: bool, done: u64) -> Edge {
        let (ring, reader) = (["t", "P", "a"].map(str::to_owned), reader.to_owned());
        let is_in_memory = !is_remote;
        Edge { ring, reader, is_remote, is_in_memory, joined_at: 0, offered: 1000, done }
    }

    #[test]
    fn a_reader_is_where_its_own_process_says_or_at_most_a_ring_behind() {
        for (done, depth, is_stale) in [
            (None, 100, true),
            (Some(vec![]), 100, true),
            (Some(vec![970]), 30, false),
            // One that drops messages does not stand for one that holds up the publisher.
            (Some(vec![970, 200]), 30, false),
            (Some(vec![200]), 100, true),
            // Its process may be read later, or lie.
            (Some(vec![1070]), 0, false),
            (Some(vec![u64::MAX]), 0, false),
        ] {
            let desk = done.clone().map(|done| Node {
                name: "desk".into(),
                edges: done.into_iter().map(|done| edge("R", true, done)).collect(),
                ..Node::default()
            });
            let mut nodes: Vec<Node> = std::iter::once(feed()).chain(desk).collect();
            pair(&mut nodes);
            let input = nodes[0].inputs.values().next().unwrap();
            let expected = (depth, 1000 - depth, 1000 - depth, is_stale);
            let found = (input.depth, input.done, input.taken, input.is_stale);
            assert_eq!(found, expected, "{done:?}");
            assert_eq!(nodes[0].outputs.values().next().unwrap().depth, depth);
        }
    }
}
