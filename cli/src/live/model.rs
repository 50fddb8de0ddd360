//! A node, as its counters describe it: its services, the topics that they publish and read, its
//! links.
//!
//! The numbers come from one read of the counters. Counters consist of *lines*, each with a kind
//! (publisher, edge, service, ..), a label, and named values. Lines are read one after the other
//! while their writers continue, so numbers of two lines may belong to slightly different moments.
//! A depth is never negative, and is exact when nothing moves.

use std::collections::{BTreeMap, HashMap};

use mycelium::counters::LineView;
use mycelium::observe::HealthState;

/// A node at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The name of the node.
    pub name: String,
    /// The id of the node's process.
    pub pid: u32,
    /// The state of the node's process, from the system.
    pub process: ProcessState,
    /// The health that the node reports: `starting`, `ready` and so on; empty if it reports none.
    pub health: String,
    /// When the node was started, in seconds since 1970.
    pub started: Option<u64>,
    /// The services of the node, by name.
    pub services: BTreeMap<String, Service>,
    /// The rings in the node's process, by topic and publisher: those of its own publishers, and
    /// the copies for publishers of other nodes from which it reads.
    pub outputs: BTreeMap<(String, String), Output>,
    /// The readers in the node, by topic, publisher and reader.
    pub inputs: BTreeMap<(String, String, String), Input>,
    /// The links of the node, by the other node.
    pub links: BTreeMap<String, Link>,
    /// The open readers, until the sides of each are paired: `pairs`.
    pub edges: Vec<Edge>,
}

/// The state of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessState {
    /// The process runs or sleeps.
    #[default]
    Runs,
    /// The process was stopped by a signal or a debugger.
    Stopped,
    /// The process has ended. The numbers of its nodes are the last ones.
    Ended,
}

impl ProcessState {
    /// Returns the name of the state.
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
    /// How often the service was started.
    pub starts: u64,
    /// The number of runs that ended with an error or a panic.
    pub failures: u64,
    /// The number of messages that became dead letters.
    pub dead_letters: u64,
    /// The time that the service has waited for slow readers, in seconds.
    pub stalls: u64,
    /// How often the service checks for a message before it parks; `None` if the node does not
    /// report it.
    pub spins: Option<u64>,
}

impl Service {
    /// Returns the number of starts after the first one.
    pub fn restarts(&self) -> u64 {
        self.starts.saturating_sub(1)
    }

    /// Returns how the service waits, in the form of a topology value.
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
    /// Whether a publisher writes it. The numbers of a publisher that has ended stay.
    pub is_open: bool,
    /// Whether the publisher is in another node, and this ring is the copy for it.
    pub is_remote: bool,
    /// The number of messages that the publisher has sent.
    pub sent: u64,
    /// The number of messages that were sent while there was no reader.
    pub no_subscribers: u64,
    /// The number of emits that waited for room.
    pub waited: u64,
    /// The number of emits that failed because there was no room, or that a handler refused.
    pub refused: u64,
    /// The number of slots of the ring.
    pub capacity: Option<u64>,
    /// The greatest depth that the publisher has seen.
    pub high_water: Option<u64>,
    /// The greatest present depth of a reader.
    pub depth: u64,
}

/// A reader of a publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Whether it still reads. The numbers of a reader that has ended stay.
    pub is_open: bool,
    /// The number of messages that the publisher has sent since the reader joined.
    pub offered: u64,
    /// The number of messages that the reader took.
    pub taken: u64,
    /// The number of messages that the reader took or did not get.
    pub done: u64,
    /// The number of messages that the reader did not get, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// The number of messages that wait for the reader.
    pub depth: u64,
    /// The retained messages that it got when it joined.
    pub retained: u64,
    /// The number of messages that were delivered again.
    pub redelivered: u64,
    /// The number of times that the publisher stopped waiting for the reader.
    pub evicted: u64,
    /// The number of gaps that the reader got.
    pub gaps: u64,
    /// Whether it reads in shared memory from another process whose counters are not known: then
    /// the publisher's process counts what it takes only now and then.
    pub is_stale: bool,
}

impl Input {
    /// Returns the number of all messages that the reader did not get.
    pub fn drops(&self) -> u64 {
        self.dropped.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns the number of unwanted drops: without the messages that a sample leaves out at the
    /// reader's request.
    pub fn losses(&self) -> u64 {
        self.drops() - self.dropped.get("sampled").copied().unwrap_or(0)
    }
}

/// The links with another node, in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether a session counts in it. The numbers of a link that has ended stay.
    pub is_open: bool,
    /// The number of connections.
    pub connections: u64,
    /// The number of messages to the other node.
    pub sent: u64,
    /// The number of messages from the other node.
    pub received: u64,
    /// The number of connections that ended with an error.
    pub errors: u64,
    /// The number of bytes to the other node.
    pub bytes_sent: u64,
    /// The number of bytes from the other node.
    pub bytes_received: u64,
}

/// The values of an edge (a line for one reader of one publisher) that count messages that the
/// reader did not get.
const DROPS: [&str; 7] =
    ["overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left", "unknown"];

/// The name of the publisher and of the reader of a total of replaced lines.
pub const OTHER: &str = "other";

/// An open reader of a ring, as the lines of one process count it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The topic, the publisher and the epoch of the ring.
    pub ring: [String; 3],
    /// The reader; in the publisher's process the node of readers that are in another one.
    pub reader: String,
    /// Whether the publisher is in another process.
    pub is_remote: bool,
    /// Whether the reader is in another process, and reads in shared memory.
    pub is_in_memory: bool,
    /// The sequence at which it joined.
    pub joined_at: u64,
    /// The number of messages since then.
    pub offered: u64,
    /// How many of them it took or did not get.
    pub done: u64,
    /// How many of them it did not get, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl Node {
    /// Creates the node that these lines describe.
    pub fn of_lines(pid: u32, lines: &[LineView]) -> Node {
        let mut node = Node { pid, name: format!("pid {pid}"), ..Node::default() };
        for line in lines {
            match line.kind.name.as_str() {
                "node" => node.add_node(line),
                "service" => node.add_service(line),
                "publisher" => node.add_output(line),
                "link" => node.add_link(line),
                _ => {}
            }
        }
        node.add_inputs(lines);
        node
    }

    /// Returns the number of publishers whose rings the node has, with copies for other nodes.
    pub fn publishers(&self) -> u64 {
        self.outputs.values().filter(|output| output.is_open).count() as u64
    }

    /// Returns the number of other nodes to which the node is linked.
    pub fn open_links(&self) -> u64 {
        self.links.values().filter(|link| link.is_open).count() as u64
    }

    /// Returns the number of readers in the node that have not ended.
    pub fn readers(&self) -> u64 {
        self.inputs.values().filter(|input| input.is_open).count() as u64
    }

    /// Returns whether both are the same run of a node, in the same process.
    pub fn is_of(&self, other: &Node) -> bool {
        (&self.name, self.pid, self.started) == (&other.name, other.pid, other.started)
    }

    fn add_node(&mut self, line: &LineView) {
        self.name = line.label("node").to_owned();
        self.started = line.value("started_seconds");
        self.health = health(line).map(|health| health.to_string()).unwrap_or_default();
    }

    fn add_service(&mut self, line: &LineView) {
        let service = self.services.entry(line.label("service").to_owned()).or_default();
        add(&mut service.starts, count(line, "starts"));
        add(&mut service.failures, count(line, "errors"));
        add(&mut service.failures, count(line, "panics"));
        add(&mut service.dead_letters, count(line, "dead_letters"));
        add(&mut service.stalls, count(line, "stalls"));
        service.spins = line.value("spins").or(service.spins);
    }

    fn add_output(&mut self, line: &LineView) {
        let key = (line.label("topic").to_owned(), named(line, "publisher"));
        let output = self.outputs.entry(key).or_default();
        output.is_open |= is_open(line);
        add(&mut output.sent, count(line, "sent"));
        add(&mut output.no_subscribers, count(line, "no_subscribers"));
        add(&mut output.waited, count(line, "waited"));
        add(&mut output.refused, count(line, "rejected"));
        add(&mut output.refused, count(line, "handler_refused"));
        output.is_remote |= line.value("remote") == Some(1);
        output.capacity = output.capacity.max(line.value("capacity"));
        output.high_water = output.high_water.max(line.value("high_water"));
    }

    fn add_link(&mut self, line: &LineView) {
        // Leaves out the line of the server, which counts peers that have no name yet.
        if line.label("role") == "server" {
            return;
        }
        let link = self.links.entry(named(line, "link")).or_default();
        link.is_open |= !line.has_ended && !line.label("link").is_empty();
        add(&mut link.connections, count(line, "connections"));
        add(&mut link.sent, count(line, "sent"));
        add(&mut link.received, count(line, "received"));
        add(&mut link.errors, count(line, "errors"));
        add(&mut link.bytes_sent, count(line, "bytes_sent"));
        add(&mut link.bytes_received, count(line, "bytes_received"));
    }

    /// Adds the readers, from the lines of kind `edge`: one for each reader of each start of a
    /// publisher. The publisher itself has one line for each start, too.
    fn add_inputs(&mut self, lines: &[LineView]) {
        let of_kind = |kind: &'static str| lines.iter().filter(move |line| line.kind.name == kind);
        let rings: HashMap<[&str; 3], (u64, bool)> = of_kind("publisher")
            .map(|line| (ring_of(line), (count(line, "sent"), count(line, "remote") == 1)))
            .collect();
        for line in of_kind("edge") {
            let topic = line.label("topic").to_owned();
            let key = (topic, named(line, "publisher"), named(line, "reader"));
            let input = self.inputs.entry(key).or_default();
            let mut done = count(line, "taken");
            add(&mut input.taken, done);
            let dropped: BTreeMap<_, _> =
                DROPS.map(|reason| (reason, count(line, reason))).into_iter().collect();
            for (reason, count) in dropped.iter().filter(|(_, count)| **count > 0) {
                add(&mut done, *count);
                add(input.dropped.entry(reason).or_default(), *count);
            }
            add(&mut input.done, done);
            add(&mut input.retained, count(line, "retained"));
            add(&mut input.redelivered, count(line, "redelivered"));
            add(&mut input.evicted, count(line, "evicted"));
            add(&mut input.gaps, count(line, "gaps"));
            let is_open = is_open(line);
            input.is_open |= is_open;
            let Some((sent, is_remote)) = rings.get(&ring_of(line)).filter(|_| is_open) else {
                // The reader has ended, or the publisher, whose line was replaced, as the lines of
                // its readers were. Counts as offered what the readers took or did not get.
                add(&mut input.offered, done);
                continue;
            };
            let joined_at = count(line, "joined_at");
            let offered = sent.saturating_sub(joined_at);
            add(&mut input.offered, offered);
            add(&mut input.depth, offered.saturating_sub(done));
            self.edges.push(Edge {
                ring: ring_of(line).map(str::to_owned),
                reader: named(line, "reader"),
                is_remote: *is_remote,
                is_in_memory: count(line, "in_memory") == 1,
                joined_at,
                offered,
                done,
                dropped,
            });
        }
        self.set_depths();
    }

    /// Sets the depth of each ring to that of its slowest reader.
    pub(super) fn set_depths(&mut self) {
        self.outputs.values_mut().for_each(|output| output.depth = 0);
        for ((topic, publisher, _), input) in &self.inputs {
            if let Some(output) = self.outputs.get_mut(&(topic.clone(), publisher.clone())) {
                output.depth = output.depth.max(input.depth);
            }
        }
    }
}

/// Returns the health in the line of a node, if it has one that is known.
pub fn health(line: &LineView) -> Option<HealthState> {
    HealthState::ALL.get(usize::try_from(line.value("state")?).ok()?).copied()
}

/// Returns whether the line of a publisher or a reader has a writer of its own. A total of replaced
/// lines has none: its label names no epoch.
fn is_open(line: &LineView) -> bool {
    !line.has_ended && !line.label("epoch").is_empty()
}

/// Returns the topic, the publisher and the epoch of the ring that a line is about.
fn ring_of(line: &LineView) -> [&str; 3] {
    ["topic", "publisher", "epoch"].map(|key| line.label(key))
}

/// Returns the part of the line's label with this key. A total of replaced lines has no such part:
/// it gets the name [`OTHER`].
fn named(line: &LineView, key: &str) -> String {
    String::from(match line.label(key) {
        "" => OTHER,
        name => name,
    })
}

/// Returns the value with this name, or 0.
fn count(line: &LineView, name: &str) -> u64 {
    line.value(name).unwrap_or(0)
}

/// Adds to a sum, which does not wrap: numbers of a foreign process may be anything.
pub(super) fn add(sum: &mut u64, count: u64) {
    *sum = sum.saturating_add(count);
}

#[cfg(test)]
mod tests {
    use std::process;
    use std::sync::Arc;

    use mycelium::counters::EdgeValue::{JoinedAt, Left, Overwritten, Sampled, Taken};
    use mycelium::counters::{
        Attached, EdgeValue, Line, LinkValue, PublisherValue, Region, ServiceValue,
    };

    use super::*;

    /// Returns the node that the counters of a region describe, as the tool reads them.
    fn node_of(region: &Arc<Region>) -> Node {
        let mark = format!("service={:p}", Arc::as_ptr(region));
        let _mark: Line<ServiceValue> = region.line(&mark);
        let found = Attached::of_process(process::id()).unwrap();
        let views = found.regions.into_iter().map(|mut attached| attached.read().unwrap());
        let view = views.into_iter().find(|view| view.lines.iter().any(|line| line.label == mark));
        Node::of_lines(7, &view.unwrap().lines)
    }

    fn publisher(region: &Arc<Region>, epoch: &str, sent: u64) {
        let label = format!("topic=t publisher=P epoch={epoch}");
        region.line(&label).set(PublisherValue::Sent, sent);
    }

    fn edge(region: &Arc<Region>, epoch: &str, values: &[(EdgeValue, u64)]) -> Line<EdgeValue> {
        let line = region.line(&format!("topic=t publisher=P epoch={epoch} reader=R"));
        values.iter().for_each(|(value, number)| line.set(*value, *number));
        line
    }

    #[test]
    fn a_depth_is_what_was_sent_since_the_reader_joined_and_has_no_end_yet() {
        let region = Region::shared(64).unwrap();
        publisher(&region, "a", 100);
        publisher(&region, "b", 10);
        let reader = edge(&region, "a", &[(JoinedAt, 40), (Taken, 50), (Overwritten, 3)]);
        let _another = edge(&region, "b", &[(Taken, 9), (Sampled, 1)]);
        let _of_a_replaced_one = edge(&region, "replaced", &[(Taken, 5)]);
        let _total: Line<EdgeValue> = region.line("topic=t");
        let node = node_of(&region);
        let key = ("t".into(), "P".into(), "R".into());
        let input = &node.inputs[&key];
        assert_eq!((input.offered, input.taken, input.done, input.depth), (75, 64, 68, 7));
        assert_eq!((input.drops(), input.losses()), (4, 3));
        let output = &node.outputs[&("t".into(), "P".into())];
        assert_eq!((output.sent, output.depth, node.readers()), (110, 7, 1));
        // What the publisher sends later does not wait for a reader that has ended.
        reader.set(Left, 7);
        drop(reader);
        publisher(&region, "a", 1000);
        let node = node_of(&region);
        let input = &node.inputs[&key];
        assert_eq!((input.offered, input.done, input.depth), (75, 75, 0));
    }

    #[test]
    fn publishers_and_links_that_have_ended_do_not_count() {
        let region = Region::shared(64).unwrap();
        let line = |label: &str| region.line::<PublisherValue>(label);
        let _open = line("topic=t publisher=P epoch=a");
        let _total = line("topic=t");
        drop(line("topic=t publisher=Q epoch=a"));
        let link = |label: &str| region.line::<LinkValue>(label);
        let (_linked, _total) = (link("link=one role=publisher"), link("role=publisher"));
        drop(link("link=ended role=publisher"));
        let node = node_of(&region);
        assert_eq!((node.publishers(), node.outputs.len()), (1, 3));
        assert_eq!((node.open_links(), node.links.len()), (1, 3));
    }

    #[test]
    fn numbers_that_lie_do_not_wrap() {
        let region = Region::shared(64).unwrap();
        publisher(&region, "a", 1);
        let _reader = edge(&region, "a", &[(Taken, u64::MAX), (Left, u64::MAX)]);
        let input = &node_of(&region).inputs[&("t".into(), "P".into(), "R".into())];
        assert_eq!((input.depth, input.done, input.drops()), (0, u64::MAX, u64::MAX));
    }
}
