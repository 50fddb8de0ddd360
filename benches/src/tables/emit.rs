//! What emitting costs a service: to one subscriber in the same thread and in another, and to many.

use mycelium_transports::local::TaskBudget;

use crate::affinity::Cores;
use crate::ends::{Bare, columns};
use crate::goals::{Pair, Rival, rows};
use crate::harness::{Column, Contest, Sweep};
use crate::loops::latency::{EVERY, Latencies, Paced};
use crate::loops::one_thread::{BATCH, Fan, LoopAlone, OneByOne, Timed};
use crate::loops::one_way::{OneWay, Threads};
use crate::options::Options;
use crate::ours::broadcast::{self as ring, RING};
use crate::ours::topic::{self, EMIT};
use crate::rivals::broadcast::{self as broadcasts, TOKIO};
use crate::rivals::channels::{self, CROSSBEAM};
use crate::rivals::photon_ring::{self, WAITING};
use crate::rivals::rtrb::{self, RTRB_MESSAGE, RTRB_SLOT};
use crate::sample::Sample;
use crate::tables::Job;
use crate::wait::WaitStrategy;

const RIVALS: [&str; 6] = [RING, RTRB_SLOT, RTRB_MESSAGE, WAITING, TOKIO, CROSSBEAM];
/// Those that move at least as many bytes as a slot of ours: a message of 56 bytes and a stamp.
const SAME_BYTES: &[&str] = &[RTRB_SLOT, WAITING, CROSSBEAM];

/// Every column, wrapped: `every!(one_task, ends => wrapper)`.
macro_rules! every {
    ($ours:ident, $ends:ident => $wrapper:expr) => {
        columns!($ends => $wrapper;
            topic::$ours(),
            ring::one().bare(),
            rtrb::slot().bare(),
            rtrb::message().bare(),
            photon_ring::one().bare(),
            broadcasts::tokio_held().bare(),
            channels::crossbeam::<Sample>().bare(),
        )
    };
}

pub(super) fn jobs(options: &Options, cores: &Cores) -> Vec<Job> {
    let mut jobs = Vec::new();
    if options.wants("emit") {
        jobs.push(Job::Contest(emit(options)));
    }
    if options.wants("emit-receive") {
        jobs.push(Job::Contest(exchange(options)));
    }
    if options.wants("fan-out") {
        jobs.push(Job::Contest(fan_out(options)));
    }
    if options.wants("threads") {
        let mut pairs = against(RIVALS, |pair| pair);
        pairs.push(Pair::best(EMIT, SAME_BYTES).within(1.2));
        let contest = |wait| throughput(options, cores, wait);
        jobs.push(Job::Sweep(Sweep::over(cores.sweep(), pairs, contest)));
        let latencies = |wait| Job::Latencies(latencies(options, cores, wait));
        jobs.extend(cores.sweep().into_iter().map(latencies));
    }
    jobs
}

fn emit(options: &Options) -> Contest {
    let mut columns: Vec<Box<dyn Column>> =
        every!(one_task, ends => Fan::to_one(Timed::Sending, ends));
    columns.push(Box::new(LoopAlone));
    Contest {
        key: "emit",
        point: None,
        row: rows::EMIT,
        title: "one thread, 56 bytes to one subscriber".into(),
        timed: "512 sends and the end of the poll; they are received between the timed parts",
        operations: options.operations(16 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns,
        pairs: against(RIVALS, |pair| match pair.rival {
            Rival::Column(RTRB_SLOT) => pair.within(1.3).guided(3.5),
            _ => pair,
        }),
    }
}

fn exchange(options: &Options) -> Contest {
    Contest {
        key: "emit-receive",
        point: None,
        row: rows::EMIT,
        title: "one thread, 56 bytes, each message received at once".into(),
        timed: "send, receive and sum of 512 messages one by one, and the end of the poll",
        operations: options.operations(8 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns: every!(one_task, ends => OneByOne(ends)),
        pairs: against(RIVALS, |pair| pair),
    }
}

fn against<const N: usize>(rivals: [&'static str; N], goal: impl Fn(Pair) -> Pair) -> Vec<Pair> {
    rivals.into_iter().map(|rival| goal(Pair::new(EMIT, rival))).collect()
}

/// Our subscriptions and tokio's receivers, by their number.
const FAN: [(usize, &str, &str); 4] = [
    (1, "emit to 1", "tokio broadcast to 1"),
    (4, "emit to 4", "tokio broadcast to 4"),
    (16, "emit to 16", "tokio broadcast to 16"),
    (64, "emit to 64", "tokio broadcast to 64"),
];

fn fan_out(options: &Options) -> Contest {
    let mut columns: Vec<Box<dyn Column>> = Vec::new();
    let mut pairs = Vec::new();
    for (readers, emit, tokio) in FAN {
        let ours = topic::ends(TaskBudget::new(), (0..readers).map(|_| TaskBudget::new()));
        columns.push(Box::new(Fan::new(emit, Timed::Sending, ours)));
        let (sender, receivers) = broadcasts::tokio(readers);
        let theirs = (Bare::new(sender), receivers.into_iter().map(Bare::new).collect());
        columns.push(Box::new(Fan::new(tokio, Timed::Sending, theirs)));
        if readers > 1 {
            pairs.push(Pair::new(emit, FAN[0].1));
        }
        pairs.push(Pair::new(emit, tokio));
    }
    Contest {
        key: "fan-out",
        point: None,
        row: rows::EMIT,
        title: "one thread, 56 bytes to many gating subscribers, the publisher's cost".into(),
        timed: "512 sends and the end of the poll; they are received between the timed parts",
        operations: options.operations(4 * BATCH, BATCH).next_multiple_of(BATCH),
        columns,
        pairs,
    }
}

fn throughput(options: &Options, cores: &Cores, wait: WaitStrategy) -> Contest {
    Contest {
        key: "threads",
        point: Some(wait.slug().to_owned()),
        row: rows::EMIT_THREADS,
        title: format!("two threads one way, 56 bytes, waiting: {wait}"),
        timed: "from the first send to the last receive, with sums",
        operations: options.operations(40_000, 4_000),
        columns: every!(two_tasks, ends => OneWay(Threads { ends, wait, cores: cores.clone() })),
        pairs: Vec::new(),
    }
}

fn latencies(options: &Options, cores: &Cores, wait: WaitStrategy) -> Latencies {
    Latencies {
        key: "threads",
        point: wait.slug(),
        title: format!(
            "two threads one way, 56 bytes, one message due every {} ns, from due to received, waiting: {wait}",
            EVERY.as_nanos()
        ),
        operations: options.operations(4_000, 1_000),
        columns: every!(two_tasks, ends => Paced(Threads { ends, wait, cores: cores.clone() })),
    }
}
