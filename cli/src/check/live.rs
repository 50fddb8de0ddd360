//! `check --live`: whether nodes lose messages, fall behind or restart, and whether their counters
//! add up.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, value_parser};
use mycelium::Topology;

use crate::live::find::{Nodes, Target, warn};
use crate::live::model::{Input, Node, OTHER, ProcessState};
use crate::live::sample::Sample;
use crate::shared::clock::{Waits, Wake, duration};
use crate::shared::exit::Failure;
use crate::shared::output::{Format, Printer, Table, count};

/// A topic, a publisher and a reader.
type Key = (String, String, String);

/// What `check --live` accepts.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "With --live")]
pub(super) struct Limits {
    #[command(flatten)]
    pub(super) target: Target,
    /// Count only what happens within this time. Without it, all since the start of each node.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, requires = "live")]
    time: Option<Duration>,
    /// The most messages that wait for a reader, as a part of its ring.
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = 80,
        value_parser = value_parser!(u64).range(..=100),
        requires = "live"
    )]
    max_depth: u64,
    /// The most messages of a publisher that a reader does not get. Those that a sample leaves out
    /// do not count.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "live")]
    max_drops: u64,
    /// The most restarts of a service.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "live")]
    max_restarts: u64,
}

/// Prints everything that exceeds the limits, and the sums of all messages by topic. The nodes of
/// the topology must run, each as its user if it has one.
///
/// # Errors
/// If a limit is exceeded, counters do not add up, or there is no such node.
pub(super) fn run(args: &Limits, topology: &Topology, format: Format) -> Result<(), Failure> {
    let waits = Waits::<()>::new()?;
    let target = args.target.clone().with_nodes(topology.nodes().map(str::to_owned));
    let owners = topology.owners().map(|(node, owner)| (node.to_owned(), owner));
    let mut nodes = Nodes::find(&target.with_owners(owners))?;
    let (mut before, wake) = match args.time {
        Some(time) => {
            let before = nodes.read_some(waits.clock.now())?;
            (before, waits.until(waits.clock.now() + time))
        }
        None => (Sample::default(), Wake::Due),
    };
    // Reads twice, because a message that was taken before the first read was surely sent before
    // the second one: the number of taken messages must not exceed the number of sent ones.
    let mut first = nodes.read_some(waits.clock.now())?;
    let sample = nodes.read(waits.clock.now())?;
    nodes.warn();
    // What cannot be read has not ended.
    for sample in [&mut before, &mut first] {
        sample.nodes.retain(|node| !nodes.unread().contains(&node.pid));
    }
    let problems = problems(args, &before, &first, &sample);
    let printed = Printer::new(format).print(&sums(&sample));
    // A closed output does not hide the result.
    match problems.count() {
        0 if wake == Wake::Interrupted => {
            Err(Failure::Unavailable("a signal ended the check early".to_owned()))
        }
        0 if !nodes.unread().is_empty() => {
            let problem = "there are counters that cannot be read: see the warnings";
            Err(Failure::Unavailable(problem.to_owned()))
        }
        0 => printed,
        limits => {
            let _ = printed.and_then(|()| Printer::new(format).print(&problems));
            Err(Failure::Found(format!("{} exceeded", count(limits, "limit"))))
        }
    }
}

/// Returns a table of the exceeded limits.
fn problems(args: &Limits, before: &Sample, first: &Sample, now: &Sample) -> Table {
    let mut problems = Table::new("node, what, of, found, limit");
    let mut exceeds = |node: &Node, what: &str, of: String, found: u64, limit: u64| {
        if found > limit {
            let node = node.name.as_str().into();
            problems.row([node, what.into(), of.into(), found.into(), limit.into()]);
        }
    };
    let earlier = if before.nodes.is_empty() { first } else { before };
    // Skips nodes without a start time, because they have just begun.
    let known = earlier.nodes.iter().filter(|old| old.started.is_some_and(|at| at > 0));
    for old in known.filter(|old| now.nodes.iter().all(|node| !node.is_of(old))) {
        let new = now.nodes.iter().find(|node| node.name == old.name);
        let new = new.map(|new| match new.pid == old.pid {
            true => ", and was started again".to_owned(),
            false => format!(", and process {} runs", new.pid),
        });
        let of = format!("process {} ended{}", old.pid, new.unwrap_or_default());
        exceeds(old, "ended while it was examined", of, 1, 0);
    }
    for node in &now.nodes {
        let same =
            |sample: &'_ Sample| sample.nodes.iter().find(|other| node.is_of(other)).cloned();
        let (before, first) = (same(before).unwrap_or_default(), same(first).unwrap_or_default());
        let mut exceeds = |what, of, found, limit| exceeds(node, what, of, found, limit);
        if node.process == ProcessState::Ended {
            exceeds("ended while it was examined", String::new(), 1, 0);
        }
        if node.process == ProcessState::Stopped {
            exceeds("is stopped", String::new(), 1, 0);
        }
        for (name, service) in &node.services {
            let restarts = before.services.get(name).map_or(0, |service| service.restarts());
            let restarts = service.restarts().saturating_sub(restarts);
            exceeds("restarts", name.clone(), restarts, args.max_restarts);
        }
        let mut moved = BTreeMap::new();
        for (key, input) in node.inputs.iter().filter(|((.., reader), _)| !is_tap(reader)) {
            let (topic, publisher, reader) = key;
            let of = format!("{topic} of {publisher} at {reader}");
            let losses = growth(node, &before, key, Input::losses);
            exceeds("messages dropped", of.clone(), losses, args.max_drops);
            match fill(node, key, input) {
                Some(percent) if input.is_stale && percent > args.max_depth => warn(&format!(
                    "the depth of {of} is not known: the counters of {reader} do not show it"
                )),
                Some(percent) if !input.is_stale => {
                    exceeds("percent of the ring wait", of.clone(), percent, args.max_depth);
                }
                Some(_) | None => {}
            }
            let done = first.inputs.get(key).map_or(0, |first| first.done);
            let excess = done.saturating_sub(input.offered);
            // Lines of this reader may have become part of the total since.
            let moved = moved.entry(topic).or_insert_with(|| {
                let total = total_of(topic);
                let offered = node.inputs.get(&total).map_or(0, |total| total.offered);
                offered.saturating_sub(first.inputs.get(&total).map_or(0, |it| it.done))
            });
            let excused = excess.min(*moved);
            *moved -= excused;
            exceeds("messages counted and never sent", of, excess - excused, 0);
        }
    }
    problems
}

/// Returns how much a value of a reader has grown.
fn growth(now: &Node, before: &Node, key: &Key, value: fn(&Input) -> u64) -> u64 {
    let of = |node: &Node, key: &Key| node.inputs.get(key).map_or(0, value);
    let mut earlier = of(before, key);
    if *key == total_of(&key.0) {
        // What other readers of the topic have lost has moved here, with their replaced lines.
        let others = before.inputs.keys().filter(|other| other.0 == key.0 && *other != key);
        let moved = others.map(|other| of(before, other).saturating_sub(of(now, other)));
        earlier = moved.fold(earlier, u64::saturating_add);
    }
    of(now, key).saturating_sub(earlier)
}

/// Returns the key of the total of replaced lines of a topic.
fn total_of(topic: &str) -> Key {
    (topic.to_owned(), OTHER.to_owned(), OTHER.to_owned())
}

/// Returns whether a reader is `mycelium tap`, which may miss messages. Its name is `tap-` and the
/// number of a process.
fn is_tap(reader: &str) -> bool {
    let number = reader.strip_prefix("tap-");
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Returns the share of a reader's ring that waiting messages fill, in percent.
fn fill(node: &Node, key: &Key, input: &Input) -> Option<u64> {
    let ring = node.outputs.get(&(key.0.clone(), key.1.clone()))?;
    let capacity = ring.capacity.filter(|capacity| *capacity > 0)?;
    Some(input.depth.min(capacity).saturating_mul(100) / capacity)
}

/// Returns for each topic how many messages readers were offered, took, dropped, or have in flight.
fn sums(sample: &Sample) -> Table {
    let mut topics: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    for ((topic, ..), input) in sample.nodes.iter().flat_map(|node| &node.inputs) {
        let counts = [input.offered, input.taken, input.drops(), input.depth];
        let sums = topics.entry(topic).or_default().iter_mut();
        sums.zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
    }
    let mut table = Table::new("topic, to readers, taken, dropped, in flight");
    for (topic, sums) in topics {
        table.row(std::iter::once(topic.into()).chain(sums.map(Into::into)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a node whose readers of a topic, by name, took and dropped these numbers.
    fn node(readers: &[(&str, u64, u64)]) -> Node {
        let inputs = readers.iter().map(|(reader, taken, dropped)| {
            let publisher = if *reader == OTHER { OTHER } else { "P" };
            let key = ("t".to_owned(), publisher.to_owned(), (*reader).to_owned());
            let done = taken + dropped;
            let dropped = BTreeMap::from([("overwritten", *dropped)]);
            (key, Input { taken: *taken, dropped, done, offered: done, ..Input::default() })
        });
        Node { inputs: inputs.collect(), ..Node::default() }
    }

    /// The lines of a reader move to the total while the check runs, in a part or as a whole.
    #[test]
    fn what_moves_to_the_total_of_replaced_lines_is_neither_new_nor_missing() {
        let args = Limits {
            target: Target::default(),
            time: None,
            max_depth: 80,
            max_drops: 0,
            max_restarts: 0,
        };
        let sample = |node| Sample { nodes: vec![node], ..Sample::default() };
        let before = sample(node(&[("R", 50, 30), ("gone", 9, 3), (OTHER, 100, 5)]));
        let found = |now| problems(&args, &before, &before, &sample(now)).count();
        assert_eq!(found(node(&[("R", 20, 10), (OTHER, 139, 28)])), 0);
        assert_eq!(found(node(&[("R", 20, 10), (OTHER, 139, 29)])), 1, "one more was dropped");
        assert_eq!(found(node(&[("R", 20, 10), ("gone", 9, 3), (OTHER, 100, 5)])), 1, "R lacks 50");
    }
}
