//! Nodes at one moment, and what happened between two moments.

use std::time::Duration;

use super::model::Node;

/// All observed nodes, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The time of the moment since the tool started.
    pub at: Duration,
    /// The nodes, by name and process.
    pub nodes: Vec<Node>,
}

/// The later one of two moments, with its difference to the earlier one.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    before: Option<&'a Sample>,
    now: &'a Sample,
}

impl<'a> Change<'a> {
    /// Creates the change from `before` to `now`. Without a `before` there are no rates.
    pub fn new(before: Option<&'a Sample>, now: &'a Sample) -> Change<'a> {
        Change { before: before.filter(|before| before.at < now.at), now }
    }

    /// Returns the later moment.
    pub fn now(&self) -> &'a Sample {
        self.now
    }

    /// Returns how much a count of a node has grown, in the same process. `None` if the node was
    /// not there before, or has no such count. A count that is new has grown from 0.
    pub fn growth(&self, node: &Node, count: impl Fn(&Node) -> Option<u64>) -> Option<u64> {
        let before = self.earlier(node)?;
        Some(count(node)?.saturating_sub(count(before).unwrap_or(0)))
    }

    /// Returns the node in the same process at the earlier moment.
    pub fn earlier(&self, node: &Node) -> Option<&'a Node> {
        let mut nodes = self.before?.nodes.iter();
        nodes.find(|before| before.pid == node.pid && before.name == node.name)
    }

    /// Returns the rate per second of a number that grew by `count` in this time.
    pub fn per_second(&self, count: Option<u64>) -> Option<f64> {
        let elapsed = self.now.at.saturating_sub(self.before?.at);
        Some(count? as f64 / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::model::Output;

    #[test]
    fn a_rate_is_of_one_process() {
        let key = ("ticks".into(), "Feed".into());
        let sample = |at, pid, sent| {
            let mut node = Node { name: "feed".into(), pid, ..Node::default() };
            node.outputs.insert(key.clone(), Output { sent, ..Output::default() });
            Sample { at: Duration::from_secs(at), nodes: vec![node] }
        };
        let before = sample(1, 7, 100);
        for (now, expected) in [
            (sample(3, 7, 300), Some(100.0)),
            // Another process, and the same moment.
            (sample(3, 8, 300), None),
            (sample(1, 7, 300), None),
        ] {
            let change = Change::new(Some(&before), &now);
            let sent = change.growth(&now.nodes[0], |node| Some(node.outputs.get(&key)?.sent));
            assert_eq!(change.per_second(sent), expected, "{now:?}");
        }
    }
}
