//! Columns of services: two nodes in two processes, whose link goes through shared memory, and the
//! same services in one node.

use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::{fs, process, thread};

use mycelium::{Node, WaitStrategy};

use super::directory::Directory;
use super::places::{FITS, Pair, Place};
use super::services::Task;
use crate::affinity::{Cores, Side};
use crate::harness::{Column, Mismatch, Round};
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
    let (mut made, cores) = (None, cores.clone());
    Column::new(name, move |operations| {
        let (worker, directory) = made.get_or_insert_with(|| {
            let directory = Directory::new();
            let path = directory.path().display();
            let place = place.slug();
            let wait = if wait == WaitStrategy::Spin { "spin" } else { "park" };
            let mut worker = Worker::start(&cores, &format!("services {path} {place} {wait}"));
            let _ = worker.hear();
            // In this order the directory is removed after the worker has ended.
            (worker, directory)
        });
        let task = Task::new(operations);
        let builder = Node::builder("here").topology(pair.topology(Some(directory.path())));
        let execution = place.execution(&cores, Side::Writer, wait);
        let builder = pair.add(builder, &task).execution(pair.names()[0], execution);
        worker.say(&pair.names()[0]);
        let _watch = watch(name, directory);
        place.run(name, builder.build().expect(FITS))?;
        worker.hear().ok_or_else(|| Mismatch::new(name, "the other process failed"))?;
        found(name, pair, tail, &task)
    })
}

/// A column of one node, whose services never sleep.
pub(crate) fn in_one_process(name: &'static str, pair: Pair, tail: bool, cores: &Cores) -> Column {
    let cores = cores.clone();
    Column::new(name, move |operations| {
        let task = Task::new(operations);
        let mut builder = pair.add(Node::builder("bench").topology(pair.topology(None)), &task);
        for (service, side) in pair.names().into_iter().zip([Side::Writer, Side::Reader]) {
            let execution = Place::Thread.execution(&cores, side, WaitStrategy::Spin);
            builder = builder.execution(service, execution);
        }
        Place::Thread.run(name, builder.build().expect(FITS))?;
        found(name, pair, tail, &task)
    })
}

fn found(name: &'static str, pair: Pair, tail: bool, task: &Task) -> Result<Round, Mismatch> {
    let found = task.take();
    if !found.right {
        return Err(Mismatch::new(name, "a message was lost or changed"));
    }
    Ok(match (pair, tail) {
        (Pair::Flow, _) => Round::Total(found.took),
        (_, true) => Round::Tail(found.times),
        (_, false) => Round::Each(found.times),
    })
}

/// The other process: a node for each line, which names the services.
pub(super) fn serve(directory: &str, place: &str, wait: &str, cores: &Cores, parent: &mut Parent) {
    let directory = Directory::of(directory);
    let place = Place::of_slug(place);
    let wait = if wait == "spin" { WaitStrategy::Spin } else { WaitStrategy::Park };
    parent.say(&"");
    while let Some(line) = parent.hear() {
        let pair = Pair::of(line.trim());
        let builder = Node::builder("there").topology(pair.topology(Some(directory.path())));
        let execution = place.execution(cores, Side::Reader, wait);
        let builder = pair.add(builder, &Task::new(0)).execution(pair.names()[1], execution);
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
