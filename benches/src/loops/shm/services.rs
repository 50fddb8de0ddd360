//! Services of two nodes in two processes, whose link goes through shared memory, and the same
//! services in one node.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use mycelium::{Builder, Context, Delivery, Execution, Node, Result, Topology, WaitStrategy};
use mycelium_core::message;

use crate::affinity::{Cores, Side};
use crate::harness::{Column, Mismatch, Round};
use crate::loops::executor::host::{OnGlommio, OnSmol, OnTokio, run_node};
use crate::processes::{Parent, Talk, Worker};
use crate::sample::{SAMPLES, Sample, Tally, samples};
use crate::stats::Times;

const FITS: &str = "the services fit together";
/// A stream begins on the socket; this long after the first answer both are in memory.
const MOVES: Duration = Duration::from_millis(50);

/// After this time the first message is sent again, if it was not answered.
const AGAIN: Duration = Duration::from_millis(100);

/// What a round found.
#[derive(Debug, Default)]
struct Found {
    took: Duration,
    times: Times,
    right: bool,
}

/// The work of a round, and what it found.
#[derive(Debug)]
struct Task {
    operations: usize,
    found: Mutex<Found>,
}

impl Task {
    fn note(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

/// Whether the first message is answered. An answer that is sent before the other node knows the
/// subscription, which observes, does not arrive; then this waits until no other one is on its way.
macro_rules! answered {
    ($ctx:ident, $answers:ident, |$answer:ident| $is_right:expr) => {
        match heard!($ctx, $answers) {
            Some(Some(Delivery::Msg($answer))) if $is_right => true,
            Some(None) => return Ok(()),
            _ => {
                while let Some(Some(_)) = heard!($ctx, $answers) {}
                false
            }
        }
    };
}

/// What a subscription has within some time.
macro_rules! heard {
    ($ctx:ident, $answers:ident) => {{
        let next = pin!($answers.recv());
        let pause = pin!($ctx.sleep(AGAIN));
        match select(next, pause).await {
            Either::Left((delivery, _)) => Some(delivery),
            Either::Right(_) => None,
        }
    }};
}

/// A message of some words and its answer, a service that sends it and one that returns it.
macro_rules! trip {
    ($ping:ident, $pong:ident, $client:ident, $echo:ident, $words:literal, $there:tt,
        $back:tt, $id:tt, $next:tt) => {
        #[message(topic = $there, id = $id)]
        struct $ping {
            words: [u64; $words],
        }

        #[message(topic = $back, id = $next)]
        struct $pong {
            words: [u64; $words],
        }

        struct $client(Arc<Task>);

        #[mycelium::service(reads($pong), emits($ping))]
        impl $client {
            async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                let mut pongs = ctx.subscribe::<$pong>()?;
                let (mut times, mut right, mut number) = (Times::default(), true, 0);
                let (mut before, mut left) = (Instant::now(), self.0.operations);
                loop {
                    number += 1;
                    ctx.emit($ping { words: [number; $words] }).await?;
                    if answered!(ctx, pongs, |pong| pong.words[0] == number) {
                        break;
                    }
                }
                let start = Instant::now();
                while left > 0 {
                    number += 1;
                    ctx.emit($ping { words: [number; $words] }).await?;
                    let Some(Delivery::Msg(pong)) = pongs.recv().await else {
                        right = false;
                        break;
                    };
                    right &= pong.words == [number; $words];
                    let now = Instant::now();
                    if now - start >= MOVES {
                        times.record(now - before);
                        left -= 1;
                    }
                    before = now;
                }
                self.0.note(Found { took: Duration::ZERO, times, right });
                Ok(())
            }
        }

        struct $echo;

        #[mycelium::service(reads($ping), emits($pong))]
        impl $echo {
            async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
                let mut pings = ctx.subscribe::<$ping>()?;
                while let Some(delivery) = pings.recv().await {
                    if let Delivery::Msg(ping) = delivery {
                        ctx.emit($pong { words: ping.words }).await?;
                    }
                }
                Ok(())
            }
        }
    };
}

trip!(Ping48, Pong48, Client48, Echo48, 6, "pings-48", "pongs-48", 21, 22);
trip!(Ping64, Pong64, Client64, Echo64, 8, "pings-64", "pongs-64", 23, 24);

/// Emits samples, and notes the time until the last one was taken.
struct Source(Arc<Task>);

#[message(topic = "tallies", id = 25)]
struct Taken {
    count: u64,
    sum: u64,
}

/// Samples before those that are timed.
const FIRST: usize = 512;

#[mycelium::service(reads(Taken), emits(Sample))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut tallies = ctx.subscribe::<Taken>()?;
        let samples = samples();
        // A last sample of each part requests the tally.
        let ask = Sample { flags: u32::MAX, ..Sample::default() };
        let mut found = Found::default();
        loop {
            ctx.emit(ask).await?;
            if answered!(ctx, tallies, |taken| taken.count == 0) {
                break;
            }
        }
        let first = Instant::now();
        loop {
            let timed = first.elapsed() >= MOVES;
            let count = if timed { self.0.operations } else { FIRST };
            let start = Instant::now();
            for number in 0..count {
                ctx.emit(samples[number % SAMPLES]).await?;
            }
            ctx.emit(ask).await?;
            let Some(Delivery::Msg(taken)) = tallies.recv().await else { break };
            if timed {
                let tally = Tally { count: taken.count, sum: taken.sum };
                found.took = start.elapsed();
                found.right = tally == Tally::expected(count, Tally::add);
                break;
            }
        }
        self.0.note(found);
        Ok(())
    }
}

struct Sink;

#[mycelium::service(reads(Sample), emits(Taken))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut samples = ctx.subscribe::<Sample>()?;
        let mut tally = Tally::default();
        while let Some(delivery) = samples.recv().await {
            let Delivery::Msg(sample) = delivery else { continue };
            if sample.flags == u32::MAX {
                let Tally { count, sum } = std::mem::take(&mut tally);
                ctx.emit(Taken { count, sum }).await?;
            } else {
                tally.add(&sample);
            }
        }
        Ok(())
    }
}

/// The two services of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// Round trips of 48 bytes.
    Trip48,
    /// Round trips of 64 bytes.
    Trip64,
    /// 56 bytes one way.
    Flow,
}

impl Pair {
    /// The names of the services.
    fn names(self) -> [&'static str; 2] {
        match self {
            Pair::Trip48 => ["Client48", "Echo48"],
            Pair::Trip64 => ["Client64", "Echo64"],
            Pair::Flow => ["Source", "Sink"],
        }
    }

    /// The subscription that may lose messages, so that the two services cannot block each other.
    /// None is lost, because only one is on its way.
    fn answers(self) -> &'static str {
        match self {
            Pair::Trip48 => "Client48.pongs-48",
            Pair::Trip64 => "Client64.pongs-64",
            Pair::Flow => "Source.tallies",
        }
    }

    fn of(name: &str) -> Pair {
        let all = [Pair::Trip48, Pair::Trip64, Pair::Flow];
        all.into_iter().find(|pair| pair.names()[0] == name).expect("a name of a service")
    }

    fn topology(self, directory: Option<&PathBuf>) -> Topology {
        let [here, there] = self.names();
        let policy = format!("[subscription.\"{}\"]\npolicy = \"drop-oldest\"\n", self.answers());
        let Some(directory) = directory else {
            return Topology::parse("bench", &policy).expect(FITS);
        };
        let text = format!(
            "[node.here]\nservices = [\"{here}\"]\n[node.there]\nservices = [\"{there}\"]\n\
             [link.default]\ntransport = \"shm\"\nretry = \"1ms\"\nmax_retry = \"5ms\"\n{policy}"
        );
        Topology::parse("bench", &text).expect(FITS).in_directory(directory)
    }

    fn add(self, builder: Builder, task: &Arc<Task>) -> Builder {
        let task = task.clone();
        match self {
            Pair::Trip48 => builder.service(move || Client48(task.clone())).service(|| Echo48),
            Pair::Trip64 => builder.service(move || Client64(task.clone())).service(|| Echo64),
            Pair::Flow => builder.service(move || Source(task.clone())).service(|| Sink),
        }
    }
}

/// Where the services run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As tasks of an executor.
    Tokio,
    /// As tasks of an executor.
    Smol,
    /// As tasks of an executor.
    Glommio,
    /// On a pinned thread with a loop of its own.
    Thread,
}

const PLACES: [(Place, &str); 4] = [
    (Place::Tokio, "tokio"),
    (Place::Smol, "smol"),
    (Place::Glommio, "glommio"),
    (Place::Thread, "thread"),
];

impl Place {
    fn execution(self, cores: &Cores, side: Side, wait: WaitStrategy) -> Execution {
        let own = match (self, cores.of(side)) {
            (Place::Thread, Some(core)) => Execution::pinned([core]),
            (Place::Thread, None) => Execution::dedicated(),
            _ => Execution::shared(),
        };
        own.wait(wait)
    }

    fn run(self, name: &'static str, node: Node) -> Result<(), Mismatch> {
        match self {
            Place::Tokio | Place::Thread => run_node::<OnTokio>(name, node),
            Place::Smol => run_node::<OnSmol>(name, node),
            Place::Glommio => run_node::<OnGlommio>(name, node),
        }
    }
}

fn task(operations: usize) -> Arc<Task> {
    Arc::new(Task { operations, found: Mutex::default() })
}

/// The other process: a node for each line, which names the services.
pub(super) fn serve(directory: &str, place: &str, wait: &str, cores: &Cores, parent: &mut Parent) {
    let directory = PathBuf::from(directory);
    let place = PLACES.into_iter().find(|(_, name)| *name == place).expect("a place").0;
    let wait = if wait == "spin" { WaitStrategy::Spin } else { WaitStrategy::Park };
    parent.say(&"");
    while let Some(line) = parent.hear() {
        let pair = Pair::of(line.trim());
        let builder = Node::builder("there").topology(pair.topology(Some(&directory)));
        let execution = place.execution(cores, Side::Reader, wait);
        let builder = pair.add(builder, &task(0)).execution(pair.names()[1], execution);
        if let Err(error) = place.run("the other process", builder.build().expect(FITS)) {
            panic!("{error}");
        }
        parent.say(&"");
    }
}

/// A directory of the nodes of a column.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mycelium-benches-{}-{number}", std::process::id());
        Directory(std::env::temp_dir().join(name))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn found(name: &'static str, pair: Pair, tail: bool, task: &Task) -> Result<Round, Mismatch> {
    let found = std::mem::take(&mut *task.found.lock().unwrap_or_else(PoisonError::into_inner));
    if !found.right {
        return Err(Mismatch::new(name, "a message was lost or changed"));
    }
    Ok(match (pair, tail) {
        (Pair::Flow, _) => Round::Total(found.took),
        (_, true) => Round::Tail(found.times),
        (_, false) => Round::Each(found.times),
    })
}

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
        let (directory, worker) = made.get_or_insert_with(|| {
            let directory = Directory::new();
            let [path, wait] = [
                directory.0.to_str().expect("a path of letters"),
                if wait == WaitStrategy::Spin { "spin" } else { "park" },
            ];
            let place = PLACES.into_iter().find(|(known, _)| *known == place).expect("a place").1;
            let mut worker = Worker::start(&cores, &format!("services {path} {place} {wait}"));
            let _ = worker.hear();
            (directory, worker)
        });
        let task = task(operations);
        let builder = Node::builder("here").topology(pair.topology(Some(&directory.0)));
        let execution = place.execution(&cores, Side::Writer, wait);
        let builder = pair.add(builder, &task).execution(pair.names()[0], execution);
        worker.say(&pair.names()[0]);
        place.run(name, builder.build().expect(FITS))?;
        worker.hear().ok_or_else(|| Mismatch::new(name, "the other process failed"))?;
        found(name, pair, tail, &task)
    })
}

/// A column of one node, whose services never sleep.
pub(crate) fn in_one_process(name: &'static str, pair: Pair, tail: bool, cores: &Cores) -> Column {
    let cores = cores.clone();
    Column::new(name, move |operations| {
        let task = task(operations);
        let mut builder = pair.add(Node::builder("bench").topology(pair.topology(None)), &task);
        for (service, side) in pair.names().into_iter().zip([Side::Writer, Side::Reader]) {
            let execution = Place::Thread.execution(&cores, side, WaitStrategy::Spin);
            builder = builder.execution(service, execution);
        }
        Place::Thread.run(name, builder.build().expect(FITS))?;
        found(name, pair, tail, &task)
    })
}
