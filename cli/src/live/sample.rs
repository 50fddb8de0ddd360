//! Nodes at one moment, and what happened between two moments.

use std::time::Duration;

use super::model::{Input, Node, Output};

/// All observed nodes, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// When, since the tool started.
    pub at: Duration,
    /// The nodes, by name and process.
    pub nodes: Vec<Node>,
}

/// Two moments, the later one with the difference to the earlier one.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    before: Option<&'a Sample>,
    now: &'a Sample,
}

impl<'a> Change<'a> {
    /// What happened from `before` to `now`. Without a moment before there is no rate.
    pub fn new(before: Option<&'a Sample>, now: &'a Sample) -> Change<'a> {
        Change { before: before.filter(|before| before.at < now.at), now }
    }

    /// The later moment.
    pub fn now(&self) -> &'a Sample {
        self.now
    }

    /// The time between the two.
    pub fn elapsed(&self) -> Option<Duration> {
        self.before.map(|before| self.now.at.saturating_sub(before.at))
    }

    /// The node before, if it was the same process.
    fn before(&self, node: &Node) -> Option<&'a Node> {
        let nodes = &self.before?.nodes;
        nodes.iter().find(|before| before.pid == node.pid && before.name == node.name)
    }

    /// How much a count of a publisher grew. One that is new has counted from 0.
    pub fn of_output(
        &self,
        node: &Node,
        key: &(String, String),
        count: impl Fn(&Output) -> u64,
    ) -> Option<u64> {
        let now = count(node.outputs.get(key)?);
        let before = self.before(node)?.outputs.get(key).map_or(0, count);
        Some(now.saturating_sub(before))
    }

    /// How much a count of a reader grew.
    pub fn of_input(
        &self,
        node: &Node,
        key: &(String, String, String),
        count: impl Fn(&Input) -> u64,
    ) -> Option<u64> {
        let now = count(node.inputs.get(key)?);
        let before = self.before(node)?.inputs.get(key).map_or(0, count);
        Some(now.saturating_sub(before))
    }

    /// A number that grew by `count` in this time, in a second.
    pub fn per_second(&self, count: Option<u64>) -> Option<f64> {
        let seconds = self.elapsed()?.as_secs_f64();
        Some(count? as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, pid: u32, sent: u64) -> Sample {
        let mut node = Node { name: "feed".into(), pid, ..Node::default() };
        node.outputs.insert(key(), Output { sent, ..Output::default() });
        Sample { at: Duration::from_secs(at), nodes: vec![node] }
    }

    fn key() -> (String, String) {
        ("ticks".into(), "Feed".into())
    }

    fn rate(before: &Sample, now: &Sample) -> Option<f64> {
        let change = Change::new(Some(before), now);
        change.per_second(change.of_output(&now.nodes[0], &key(), |output| output.sent))
    }

    #[test]
    fn a_rate_is_of_one_process() {
        assert_eq!(rate(&sample(1, 7, 100), &sample(3, 7, 300)), Some(100.0));
        assert_eq!(rate(&sample(1, 7, 100), &sample(3, 8, 300)), None, "another process");
        assert_eq!(rate(&sample(1, 7, 100), &sample(1, 7, 300)), None, "the same moment");
    }
}
