//! The cost of `emit`: to one subscriber on the same thread and on another, and to many.

use mycelium_transports::local::TaskBudget;

use crate::affinity::Cores;
use crate::ends::{Bare, CAPACITY, columns};
use crate::goals::Pair;
use crate::harness::{Contest, Kind, Sweep};
use crate::loops::one_thread::{
    BATCH, Timed, fan, from_many, in_batches, loop_alone, one_by_one, to_one,
};
use crate::loops::one_way::{EVERY, Threads, one_way, paced};
use crate::options::Options;
use crate::ours::broadcast::{self as ring, RING};
use crate::ours::topic::{self, EMIT, EMIT_BATCH};
use crate::ours::traces::{self, BEGUN, COPYING, LEFT_OUT, PASSED_ON};
use crate::rivals::broadcast::{self as rivals, PHOTON, TOKIO};
use crate::rivals::many::{self, CROSSBEAM};
use crate::rivals::pair::{self, RTRB_CHUNKS, RTRB_MESSAGE, RTRB_SLOT};
use crate::rivals::spans::{self, IN_SPAN};
use crate::sample::Sample;
use crate::tables::broadcast::TOKIO as TOKIO_TO;
use crate::tables::rows;

const RIVALS: [&str; 6] = [RING, RTRB_SLOT, RTRB_MESSAGE, PHOTON, TOKIO, CROSSBEAM];
/// The rivals that move at least the bytes of our slot: a stamp and a message of 56 bytes.
const SAME_BYTES: &[&str] = &[RTRB_SLOT, PHOTON, CROSSBEAM];

/// Every column; our ends are in one task or in two: `every!(writer, reader, ends => column)`.
macro_rules! every {
    ($writer:expr, $reader:expr, $ends:ident => $column:expr) => {
        columns!($ends => $column;
            topic::pair($writer, $reader),
            ring::pair(RING, CAPACITY).bare(),
            pair::rtrb_slot().bare(),
            pair::rtrb::<Sample>(RTRB_MESSAGE, CAPACITY).bare(),
            rivals::photon_pair().bare(),
            rivals::tokio_lossless().bare(),
            many::crossbeam::<Sample>().bare(),
        )
    };
}

/// Our column beside each rival.
fn pairs() -> Vec<Pair> {
    RIVALS.into_iter().map(|rival| Pair::new(EMIT, rival)).collect()
}

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let mut sweeps = Vec::new();
    if options.wants("emit") {
        sweeps.push(emit(options).into());
    }
    if options.wants("emit-batch") {
        sweeps.push(emit_batch(options).into());
    }
    if options.wants("emit-receive") {
        let budget = TaskBudget::new();
        let title = "one thread, 56 bytes, each message received before the next";
        let contest = Contest {
            timed: "send, receive and checksum of 512 messages one by one, and the end of the poll",
            operations: options.operations(8 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
            columns: every!(budget.clone(), budget, ends => one_by_one(ends)),
            pairs: pairs(),
            ..Contest::new("emit-receive", rows::EMIT, title)
        };
        sweeps.push(contest.into());
    }
    if options.wants("emit-traces") {
        sweeps.push(emit_traces(options).into());
    }
    if options.wants("fan-out") {
        sweeps.push(fan_out(options).into());
    }
    if options.wants("scale") {
        sweeps.push(among_many(options).into());
        sweeps.extend(of_many(options).map(Sweep::from));
    }
    if options.wants("threads") {
        sweeps.extend(threads(options, cores));
    }
    sweeps
}

fn emit(options: &Options) -> Contest {
    let budget = TaskBudget::new();
    let mut columns = every!(budget.clone(), budget, ends => to_one(ends));
    columns.push(loop_alone());
    let mut pairs = pairs();
    pairs[1] = Pair::new(EMIT, RTRB_SLOT).within(1.3).guided(3.5);
    Contest {
        timed: "512 sends and the end of the poll; received between the timed parts",
        operations: options.operations(16 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns,
        pairs,
        ..Contest::new("emit", rows::EMIT, "one thread, 56 bytes to one subscriber")
    }
}

fn emit_batch(options: &Options) -> Contest {
    let budget = TaskBudget::new();
    let new = || topic::pair(budget.clone(), budget.clone());
    let chunks = pair::rtrb::<Sample>(RTRB_CHUNKS, CAPACITY).bare();
    Contest {
        timed: "512 sends and the end of the poll; received between the timed parts",
        operations: options.operations(16 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns: vec![
            in_batches(EMIT_BATCH, new()),
            to_one(new()),
            in_batches(RTRB_CHUNKS, chunks),
            to_one(pair::rtrb::<Sample>(RTRB_MESSAGE, CAPACITY).bare()),
        ],
        pairs: vec![
            Pair::new(EMIT_BATCH, RTRB_CHUNKS).within(1.0),
            Pair::new(EMIT_BATCH, EMIT),
            Pair::new(EMIT_BATCH, RTRB_MESSAGE),
        ],
        ..Contest::new("emit-batch", rows::EMIT, "one thread, 56 bytes in batches of 16")
    }
}

/// Emits to a traced topic, beside those to one that is not.
fn emit_traces(options: &Options) -> Contest {
    Contest {
        timed: "512 sends and the end of the poll; received between the timed parts",
        operations: options.operations(16 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns: vec![
            to_one(topic::pair(TaskBudget::new(), TaskBudget::new())),
            to_one(traces::left_out()),
            to_one(traces::passed_on()),
            to_one(traces::begun()),
            to_one(traces::copying()),
            to_one(spans::in_span()),
        ],
        pairs: vec![
            Pair::new(LEFT_OUT, COPYING).within(1.2),
            Pair::new(PASSED_ON, COPYING).within(1.2),
            Pair::new(BEGUN, IN_SPAN).within(0.5),
            Pair::new(LEFT_OUT, EMIT),
            Pair::new(PASSED_ON, EMIT),
            Pair::new(BEGUN, EMIT),
        ],
        ..Contest::new("emit-traces", rows::EMIT_TRACES, "one thread, 56 bytes with a trace")
    }
}

fn fan_out(options: &Options) -> Contest {
    const EMIT_TO: [&str; 4] = ["emit to 1", "emit to 4", "emit to 16", "emit to 64"];
    let (mut columns, mut pairs) = (Vec::new(), Vec::new());
    for ((readers, emit), tokio) in [1, 4, 16, 64].into_iter().zip(EMIT_TO).zip(TOKIO_TO) {
        let ours = topic::ends(TaskBudget::new(), (0..readers).map(|_| TaskBudget::new()));
        columns.push(fan(emit, Timed::Sending, ours));
        let (sender, receivers) = rivals::tokio(readers);
        let receivers = receivers.into_iter().map(Bare::new).collect();
        columns.push(fan(tokio, Timed::Sending, (Bare::new(sender), receivers)));
        if readers > 1 {
            pairs.push(Pair::new(emit, EMIT_TO[0]));
        }
        pairs.push(Pair::new(emit, tokio));
    }
    let title = "one thread, 56 bytes to many gating subscribers, the publisher's cost";
    Contest {
        timed: "512 sends and the end of the poll; received between the timed parts",
        operations: options.operations(4 * BATCH, BATCH).next_multiple_of(BATCH),
        columns,
        pairs,
        ..Contest::new("fan-out", rows::EMIT, title)
    }
}

/// Emits in a node with many topics, and to many subscribers.
fn among_many(options: &Options) -> Contest {
    const ONE: &str = "emit to 1 of 1 topic";
    const OF_MANY: &str = "emit to 1 of 1,000 topics";
    const TO: [(&str, usize); 3] = [("emit to 4", 4), ("emit to 16", 16), ("emit to 64", 64)];
    let mut columns = vec![
        fan(ONE, Timed::Sending, topic::ends_among(1)),
        fan(OF_MANY, Timed::Sending, topic::ends_among(1_000)),
    ];
    let mut pairs = vec![Pair::new(OF_MANY, ONE).within(1.25)];
    for (name, readers) in TO {
        let ends = topic::ends(TaskBudget::new(), (0..readers).map(|_| TaskBudget::new()));
        columns.push(fan(name, Timed::Sending, ends));
        pairs.push(Pair::new(name, ONE).within(1.25));
    }
    let title = "one thread, 56 bytes, in a node of many topics and to many subscribers";
    Contest {
        timed: "512 sends and the end of the poll; received between the timed parts",
        operations: options.operations(4 * BATCH, BATCH).next_multiple_of(BATCH),
        columns,
        pairs,
        ..Contest::new("scale", rows::SCALE, title)
    }
}

/// Messages of one of many publishers of a topic: the cost for the publisher, and for both sides.
fn of_many(options: &Options) -> impl Iterator<Item = Contest> {
    const EMIT_OF: [&str; 3] = ["emit of 1", "emit of 64", "emit of 1,000"];
    const BOTH_OF: [&str; 3] = ["message of 1", "message of 64", "message of 1,000"];
    let operations = options.operations(8 * BATCH, BATCH);
    let sides = [
        (EMIT_OF, Timed::Sending, "the send, and the end of the publisher's poll"),
        (BOTH_OF, Timed::SendingAndReceiving, "the send, the receive, and the check after it"),
    ];
    sides.into_iter().map(move |(names, timed, what)| {
        let columns = names.into_iter().zip([1, 64, 1_000]);
        let columns = columns.map(|(name, count)| from_many(name, timed, topic::crowd(count)));
        let title = format!("one thread, 56 bytes, each of another publisher of one topic: {what}");
        Contest {
            timed: "one send or receive in each poll, with the clock",
            operations,
            columns: columns.collect(),
            pairs: names[1..].iter().map(|name| Pair::new(name, names[0])).collect(),
            ..Contest::new("scale", rows::SCALE, title)
        }
    })
}

/// The throughput as a sweep, then the latencies at each point.
fn threads(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let mut pairs = pairs();
    pairs.push(Pair::best(EMIT, SAME_BYTES).within(1.2));
    macro_rules! on_threads {
        ($idle:ident, $column:ident) => {
            every!(TaskBudget::new(), TaskBudget::new(), ends => {
                $column(Threads { ends, idle: $idle, cores: cores.clone() })
            })
        };
    }
    let new = |title| Contest::new("threads", rows::EMIT_THREADS, title);
    let throughput = Sweep::over(cores.sweep(), pairs, |idle| Contest {
        timed: "from the first send to the last receive, with checksums",
        operations: options.operations(40_000, 4_000),
        columns: on_threads!(idle, one_way),
        ..new(format!("two threads one way, 56 bytes, waiting: {idle}")).at(idle.slug())
    });
    let latencies = cores.sweep().into_iter().map(|idle| {
        let every = EVERY.as_nanos();
        let title = format!(
            "two threads one way, 56 bytes, one message due every {every} ns, from due to \
             received, waiting: {idle}"
        );
        let contest = Contest {
            kind: Kind::Latencies,
            operations: options.operations(4_000, 1_000),
            columns: on_threads!(idle, paced),
            ..new(title).at(idle.slug())
        };
        contest.into()
    });
    std::iter::once(throughput).chain(latencies).collect()
}
