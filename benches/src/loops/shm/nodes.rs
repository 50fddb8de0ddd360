//! Columns of services: two nodes in two processes, whose link goes through shared memory, and the
//! same services in one node.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::{fs, process, thread};

use mycelium::{Node, WaitStrategy};

use super::directory::Directory;
use super::places::{FITS, Pair, Place};
use super::services::{Found, Spent, Task};
use crate::affinity::{Cores, Side};
use crate::harness::{Column, Count, Mismatch, Round};
use crate::processes::{Parent, Talk, Worker};
use crate::wait::DEADLINE;

const LATE: &str = "a message was lost, or the other process has ended";

/// A column of two nodes in two processes. With `tail`, the slowest hundredth of the trips counts.
pub(crate) fn processes(
    name: &'static str,
    pair: Pair,
    place: Place,
    wait: WaitStrategy,
    tail: bool,
    cores: &Cores,
) -> Column {
    let mut two = Two::new(name, pair, place, wait, cores);
    Column::new(name, move |operations| {
        let task = Task { operations, ..Task::default() };
        Ok(figure(pair, tail, two.round(task)?))
    })
}

/// A column of two nodes in two processes, one of which sends messages at this rate.
pub(crate) fn offered(
    name: &'static str,
    place: Place,
    wait: WaitStrategy,
    rate: u64,
    messages: usize,
    cores: &Cores,
) -> Column {
    let mut two = Two::new(name, Pair::Load, place, wait, cores);
    Column::new(name, move |_| {
        let task = Task { operations: messages, rate, ..Task::default() };
        Ok(Round::Each(two.round(task)?.times))
    })
}

/// The cost of a message other than time, of two nodes in two processes.
pub(crate) fn spent(
    name: &'static str,
    pair: Pair,
    place: Place,
    wait: WaitStrategy,
    cores: &Cores,
) -> Column {
    let mut two = Two::new(name, pair, place, wait, cores);
    Column::new(name, move |operations| {
        let counts = Some(two.other());
        let Spent { sleeps, allocations } =
            two.round(Task { operations, counts, ..Task::default() })?.spent;
        let per_operation = |count: u64| count as f64 / operations as f64;
        Ok(Round::Counts(vec![
            Count::new("sleeps", per_operation(sleeps)),
            Count::new("allocations", per_operation(allocations)),
        ]))
    })
}

/// This process and another one, which run a node each in each round.
struct Two {
    name: &'static str,
    pair: Pair,
    place: Place,
    wait: WaitStrategy,
    cores: Cores,
    /// In this order the directory is removed after the worker has ended.
    made: Option<(Worker, Directory)>,
}

impl Two {
    fn new(name: &'static str, pair: Pair, place: Place, wait: WaitStrategy, cores: &Cores) -> Two {
        Two { name, pair, place, wait, cores: cores.clone(), made: None }
    }

    /// Starts the other process, if it does not run.
    fn made(&mut self) -> &mut (Worker, Directory) {
        self.made.get_or_insert_with(|| {
            let directory = Directory::new();
            let path = directory.path().display();
            let place = self.place.slug();
            let wait = if self.wait == WaitStrategy::Spin { "spin" } else { "park" };
            let mut worker = Worker::start(&self.cores, &format!("services {path} {place} {wait}"));
            let _ = worker.hear();
            (worker, directory)
        })
    }

    /// The number of the other process.
    fn other(&mut self) -> u32 {
        self.made().0.process()
    }

    fn round(&mut self, task: Task) -> Result<Found, Mismatch> {
        let (name, pair, place) = (self.name, self.pair, self.place);
        let execution = place.execution(&self.cores, Side::Writer, self.wait);
        let (worker, directory) = self.made();
        let task = Arc::new(task);
        let builder = Node::builder("here").topology(pair.topology(Some(directory.path())));
        let builder = pair.add(builder, &task).execution(pair.names()[0], execution);
        worker.say(&format_args!("{} {} {}", pair.names()[0], task.operations, task.rate));
        let _watch = watch(name, directory);
        place.run(name, builder.build().expect(FITS))?;
        worker.hear().ok_or_else(|| Mismatch::new(name, "the other process failed"))?;
        found(name, &task)
    }
}

/// A column of one node, whose services never sleep.
pub(crate) fn in_one_process(name: &'static str, pair: Pair, tail: bool, cores: &Cores) -> Column {
    let cores = cores.clone();
    Column::new(name, move |operations| {
        let task = Arc::new(Task { operations, ..Task::default() });
        let mut builder = pair.add(Node::builder("bench").topology(pair.topology(None)), &task);
        for (service, side) in pair.names().into_iter().zip([Side::Writer, Side::Reader]) {
            let execution = Place::Thread.execution(&cores, side, WaitStrategy::Spin);
            builder = builder.execution(service, execution);
        }
        Place::Thread.run(name, builder.build().expect(FITS))?;
        Ok(figure(pair, tail, found(name, &task)?))
    })
}

fn found(name: &'static str, task: &Task) -> Result<Found, Mismatch> {
    let found = task.take();
    if found.right {
        return Ok(found);
    }
    Err(Mismatch::new(name, "a message was lost or changed"))
}

fn figure(pair: Pair, tail: bool, found: Found) -> Round {
    match pair {
        Pair::Flow => Round::Total(found.took),
        Pair::Trip48 | Pair::Trip64 | Pair::Load if tail => Round::Tail(found.times),
        Pair::Trip48 | Pair::Trip64 | Pair::Load => Round::Each(found.times),
    }
}

/// The other process: a node for each line, which names the services and their work.
pub(super) fn serve(directory: &str, place: &str, wait: &str, cores: &Cores, parent: &mut Parent) {
    let directory = Directory::of(directory);
    let place = Place::of_slug(place);
    let wait = if wait == "spin" { WaitStrategy::Spin } else { WaitStrategy::Park };
    parent.say(&"");
    while let Some(line) = parent.hear() {
        let [pair, operations, rate] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("a round: {line}");
        };
        let pair = Pair::of(pair);
        let operations = operations.parse().expect("a number");
        let rate = rate.parse().expect("a number");
        let task = Arc::new(Task { operations, rate, ..Task::default() });
        let builder = Node::builder("there").topology(pair.topology(Some(directory.path())));
        let execution = place.execution(cores, Side::Reader, wait);
        let builder = pair.add(builder, &task).execution(pair.names()[1], execution);
        let _watch = watch("the other process", &directory);
        if let Err(error) = place.run("the other process", builder.build().expect(FITS)) {
            panic!("{error}");
        }
        parent.say(&"");
    }
}

/// Ends this process if its round is not over at the deadline: the node of a process whose peer was
/// killed waits for the next one. The round is over when the returned value is dropped.
fn watch(name: &'static str, directory: &Directory) -> Sender<()> {
    let (round, over) = mpsc::channel();
    let directory = directory.path().to_owned();
    thread::spawn(move || {
        if over.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
            // What cannot be removed or written remains: the exit code says enough.
            let _ = fs::remove_dir_all(directory);
            let _ = writeln!(io::stderr(), "error: {}", Mismatch::new(name, LATE));
            process::exit(1);
        }
    });
    round
}
