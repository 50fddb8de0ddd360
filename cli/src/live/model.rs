//! A node as its counters describe it: services, the topics that they publish and read, links.
//!
//! The numbers are those of one read of the counters. Lines are read one after the other while
//! their writers continue, so numbers of two lines may differ by what happened in between: a depth is
//! never negative, and is exact when nothing moves.

use std::collections::{BTreeMap, HashMap};

use super::line::Line;

/// A node at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// What the system says of its process.
    pub process: ProcessState,
    /// What the node says of itself: `starting`, `ready` and so on; empty if it says nothing.
    pub health: String,
    /// Its services, by name.
    pub services: BTreeMap<String, Service>,
    /// The rings of its publishers, by topic and publisher. Those of other nodes are in it if this
    /// node reads from them.
    pub outputs: BTreeMap<(String, String), Output>,
    /// Its readers, by topic, publisher and reader.
    pub inputs: BTreeMap<(String, String, String), Input>,
    /// Its links, by node and role.
    pub links: BTreeMap<(String, String), Link>,
    /// Lines that had no place in memory.
    pub unseen: u64,
}

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessState {
    /// It runs or sleeps.
    #[default]
    Runs,
    /// It was stopped by a signal or a debugger.
    Stopped,
    /// It has ended. Its numbers are the last ones.
    Ended,
}

impl ProcessState {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ProcessState::Runs => "runs",
            ProcessState::Stopped => "stopped",
            ProcessState::Ended => "ended",
        }
    }
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// How often it was started.
    pub starts: u64,
    /// Runs that ended with an error or a panic.
    pub failures: u64,
    /// Messages that became dead letters.
    pub dead_letters: u64,
    /// Seconds that it has waited for slow readers.
    pub stalls: u64,
    /// How often it looks for a message before it parks; `None` if the node does not say.
    pub spins: Option<u64>,
}

impl Service {
    /// Starts after the first one.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }

    /// How it waits, in the words of the topology.
    #[must_use]
    pub fn wait(&self) -> String {
        match self.spins {
            None => String::new(),
            Some(0) => "park".to_owned(),
            Some(u64::MAX) => "spin".to_owned(),
            Some(spins) => format!("spin {spins}"),
        }
    }
}

/// The ring of a publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Messages that it has sent.
    pub sent: u64,
    /// Messages that were sent while there was no reader.
    pub no_subscribers: u64,
    /// Emits that waited for room.
    pub waited: u64,
    /// Emits that failed because there was no room, or that a handler refused.
    pub refused: u64,
    /// The slots of its ring.
    pub capacity: Option<u64>,
    /// The greatest depth that the publisher has seen.
    pub high_water: Option<u64>,
    /// The greatest depth of a reader.
    pub depth: u64,
}

/// A reader of a publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Messages that the publisher has sent since the reader joined.
    pub offered: u64,
    /// Messages that it took.
    pub taken: u64,
    /// Messages that it did not get, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Messages that wait for it.
    pub depth: u64,
    /// Messages that are counted and were never sent. Always 0, or counters are wrong.
    pub excess: u64,
    /// Messages that were delivered again.
    pub redelivered: u64,
    /// How often the publisher stopped to wait for it.
    pub evicted: u64,
    /// Gaps that it was given.
    pub gaps: u64,
}

impl Input {
    /// All messages that it did not get.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.dropped.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Drops that nobody asked for. A sample leaves messages out because its reader wants it.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.drops() - self.dropped.get("sampled").copied().unwrap_or(0)
    }
}

/// One side of the links with another node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Connections.
    pub connections: u64,
    /// Messages to the other node.
    pub sent: u64,
    /// Messages from the other node.
    pub received: u64,
    /// Connections that ended with an error.
    pub errors: u64,
    /// Bytes to the other node.
    pub bytes_sent: u64,
    /// Bytes from the other node.
    pub bytes_received: u64,
}

/// The values of an edge that count messages that the reader did not get.
const DROPS: [&str; 7] =
    ["overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left", "unknown"];

impl Node {
    /// The node that these lines describe.
    #[must_use]
    pub fn of_lines(pid: u32, lines: &[Line]) -> Node {
        let mut node = Node { pid, name: format!("pid {pid}"), ..Node::default() };
        for line in lines {
            match &*line.kind {
                "node" => node.name = line.part("node").to_owned(),
                "service" => node.add_service(line),
                "publisher" => node.add_output(line),
                "link" => node.add_link(line),
                _ => {}
            }
        }
        node.add_inputs(lines);
        node
    }

    fn add_service(&mut self, line: &Line) {
        let service = self.services.entry(line.part("service").to_owned()).or_default();
        add(&mut service.starts, line.count("starts"));
        add(&mut service.failures, line.count("errors"));
        add(&mut service.failures, line.count("panics"));
        add(&mut service.dead_letters, line.count("dead_letters"));
        add(&mut service.stalls, line.count("stalls"));
        service.spins = line.value("spins").or(service.spins);
    }

    fn add_output(&mut self, line: &Line) {
        let key = (line.part("topic").to_owned(), line.part("publisher").to_owned());
        let output = self.outputs.entry(key).or_default();
        add(&mut output.sent, line.count("sent"));
        add(&mut output.no_subscribers, line.count("no_subscribers"));
        add(&mut output.waited, line.count("waited"));
        add(&mut output.refused, line.count("rejected"));
        add(&mut output.refused, line.count("handler_refused"));
        output.capacity = output.capacity.max(line.value("capacity"));
        output.high_water = output.high_water.max(line.value("high_water"));
    }

    fn add_link(&mut self, line: &Line) {
        let key = (line.part("link").to_owned(), line.part("role").to_owned());
        let link = self.links.entry(key).or_default();
        add(&mut link.connections, line.count("connections"));
        add(&mut link.sent, line.count("sent"));
        add(&mut link.received, line.count("received"));
        add(&mut link.errors, line.count("errors"));
        add(&mut link.bytes_sent, line.count("bytes_sent"));
        add(&mut link.bytes_received, line.count("bytes_received"));
    }

    /// Each start of a publisher is a line of its own, and so are its readers.
    fn add_inputs(&mut self, lines: &[Line]) {
        let of_kind = |kind: &'static str| lines.iter().filter(move |line| &*line.kind == kind);
        let sent: HashMap<[&str; 3], u64> =
            of_kind("publisher").map(|line| (ring_of(line), line.count("sent"))).collect();
        for line in of_kind("edge") {
            let [topic, publisher, _] = ring_of(line);
            let key = (topic.to_owned(), publisher.to_owned(), line.part("reader").to_owned());
            let input = self.inputs.entry(key).or_default();
            let mut done = line.count("taken");
            add(&mut input.taken, done);
            for reason in DROPS {
                let count = line.count(reason);
                add(&mut done, count);
                if count > 0 {
                    add(input.dropped.entry(reason).or_default(), count);
                }
            }
            add(&mut input.redelivered, line.count("redelivered"));
            add(&mut input.evicted, line.count("evicted"));
            add(&mut input.gaps, line.count("gaps"));
            let Some(sent) = sent.get(&ring_of(line)) else { continue };
            let offered = sent.saturating_sub(line.count("joined_at"));
            add(&mut input.offered, offered);
            add(&mut input.depth, offered.saturating_sub(done));
            add(&mut input.excess, done.saturating_sub(offered));
            let ring = (topic.to_owned(), publisher.to_owned());
            if let Some(output) = self.outputs.get_mut(&ring) {
                output.depth = output.depth.max(input.depth);
            }
        }
    }
}

/// Topic, publisher and its start.
fn ring_of(line: &Line) -> [&str; 3] {
    ["topic", "publisher", "epoch"].map(|key| line.part(key))
}

/// Numbers of a foreign process may be anything, so a sum does not wrap.
fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    #[test]
    fn a_depth_is_what_was_sent_since_the_reader_joined_and_has_no_end_yet() {
        let node = Node::of_lines(
            7,
            &[
                line("node", "node=feed", &[("pid", 7)]),
                line(
                    "publisher",
                    "topic=t publisher=P epoch=a",
                    &[("sent", 100), ("capacity", 64)],
                ),
                line("publisher", "topic=t publisher=P epoch=b", &[("sent", 10), ("capacity", 64)]),
                line(
                    "edge",
                    "topic=t publisher=P epoch=a reader=R",
                    &[("joined_at", 40), ("taken", 50), ("overwritten", 3)],
                ),
                line(
                    "edge",
                    "topic=t publisher=P epoch=b reader=R",
                    &[("taken", 9), ("sampled", 1)],
                ),
            ],
        );
        assert_eq!(node.name, "feed");
        let input = &node.inputs[&("t".into(), "P".into(), "R".into())];
        assert_eq!((input.offered, input.taken, input.depth, input.excess), (70, 59, 7, 0));
        assert_eq!((input.drops(), input.losses()), (4, 3));
        let output = &node.outputs[&("t".into(), "P".into())];
        assert_eq!((output.sent, output.depth, output.capacity), (110, 7, Some(64)));
    }

    #[test]
    fn numbers_that_lie_are_shown_and_do_not_wrap() {
        let most = u64::MAX;
        let node = Node::of_lines(
            7,
            &[
                line("publisher", "topic=t publisher=P", &[("sent", 1)]),
                line("edge", "topic=t publisher=P reader=R", &[("taken", most), ("left", most)]),
            ],
        );
        let input = &node.inputs[&("t".into(), "P".into(), "R".into())];
        assert_eq!((input.depth, input.excess, input.drops()), (0, most - 1, most));
    }
}
