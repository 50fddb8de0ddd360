//! Readers that two processes count: their own one, and that of the publisher.
//!
//! Readers in shared memory take messages without a word to the publisher, whose process counts
//! them when it needs room, and each few seconds. Their own process counts each message at once.

use std::collections::HashMap;

use super::model::{Edge, Node, add};

/// Counts for each reader in the shared memory of a node what its own process has counted, if that
/// is among `nodes`. Otherwise the reader is stale, and at most a whole ring waits for it.
pub(super) fn pair(nodes: &mut [Node]) {
    let mut readers: HashMap<(String, [String; 3]), Vec<Edge>> = HashMap::new();
    for node in nodes.iter_mut() {
        for edge in node.edges.extract_if(.., |edge| edge.is_remote) {
            readers.entry((node.name.clone(), edge.ring.clone())).or_default().push(edge);
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
            let joined_at = edge.joined_at;
            let done = |reader: &&Edge| {
                reader.joined_at.saturating_add(reader.done).saturating_sub(joined_at)
            };
            // The ring no longer has earlier messages. So a reader that is behind them drops
            // messages, and does not hold up the publisher as one beside it may do. Or the
            // publisher is fast, and has sent a ring of messages since the reader was read.
            let oldest = edge.offered.saturating_sub(capacity);
            let readers = readers.get(&(edge.reader, edge.ring)).into_iter().flatten();
            let reader = readers.filter(|reader| done(reader) >= oldest).min_by_key(done);
            input.is_stale |= reader.is_none();
            let done = reader.as_ref().map_or(oldest, done).min(edge.offered);
            let more = done.saturating_sub(edge.done);
            let mut taken = more;
            for (reason, count) in reader.into_iter().flat_map(|reader| &reader.dropped) {
                let before = edge.dropped.get(reason).copied().unwrap_or(0);
                let dropped = count.saturating_sub(before).min(taken);
                if dropped > 0 {
                    add(input.dropped.entry(reason).or_default(), dropped);
                }
                taken -= dropped;
            }
            add(&mut input.taken, taken);
            add(&mut input.done, more);
            input.depth = input.depth.saturating_sub(more);
        }
        node.set_depths();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::model::{Input, Output};

    /// Returns the node of a publisher that has sent a thousand messages to a ring of 100 slots,
    /// and counts that the node `desk` took 9 and missed one.
    fn feed() -> Node {
        let dropped = [("overwritten", 1)].into();
        let input =
            Input { offered: 1000, taken: 9, dropped, done: 10, depth: 990, ..Input::default() };
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
        let dropped = [("overwritten", done / 10)].into();
        Edge { ring, reader, is_remote, is_in_memory, joined_at: 0, offered: 1000, done, dropped }
    }

    #[test]
    fn a_reader_is_where_its_own_process_says_or_at_most_a_ring_behind() {
        for (done, depth, dropped, is_stale) in [
            (None, 100, 1, true),
            (Some(vec![]), 100, 1, true),
            (Some(vec![970]), 30, 97, false),
            // One that drops messages does not stand for one that holds up the publisher.
            (Some(vec![970, 200]), 30, 97, false),
            (Some(vec![200]), 100, 1, true),
            // Its process may be read later, or lie.
            (Some(vec![1070]), 0, 107, false),
            (Some(vec![u64::MAX]), 0, 991, false),
        ] {
            let desk = done.clone().map(|done| Node {
                name: "desk".into(),
                edges: done.into_iter().map(|done| edge("R", true, done)).collect(),
                ..Node::default()
            });
            let mut nodes: Vec<Node> = std::iter::once(feed()).chain(desk).collect();
            pair(&mut nodes);
            let input = nodes[0].inputs.values().next().unwrap();
            let expected = (depth, 1000 - depth, 1000 - depth - dropped, dropped, is_stale);
            let found = (input.depth, input.done, input.taken, input.drops(), input.is_stale);
            assert_eq!(found, expected, "{done:?}");
            assert_eq!(nodes[0].outputs.values().next().unwrap().depth, depth);
        }
    }
}
