//! The cost of `emit`: to one subscriber on the same thread and on another, and to many.

use mycelium_transports::local::TaskBudget;

use crate::ends::{CAPACITY, Ends, columns};
use crate::goals::Pair;
use crate::harness::{Contest, Sweep};
use crate::loops::one_thread::{BATCH, Timed, fan, in_batches, to_one};
use crate::loops::one_way::one_way;
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::ours::broadcast::{self as ring, RING};
use crate::ours::topic::{self, EMIT, EMIT_BATCH};
use crate::ours::traces::{self, BEGUN, COPYING, LEFT_OUT, PASSED_ON};
use crate::rivals::{CROSSBEAM, PHOTON, RTRB_CHUNKS, RTRB_MESSAGE, RTRB_SLOT};
#[cfg(feature = "rivals")]
use crate::rivals::{broadcast as photon, many, pair};
#[cfg(feature = "rivals")]
use crate::sample::{Sample, Wide};

const ROW: &str = "emit to one subscriber";

/// Makes every column; our ends are in one task or in two: `every!(writer, reader, ends =>
/// column)`.
macro_rules! every {
    ($writer:expr, $reader:expr, $ends:ident => $column:expr) => {
        columns!($ends => $column;
            topic::pair($writer, $reader),
            ring::pair(RING, CAPACITY).bare();
            rivals:
            pair::rtrb::<Wide>(RTRB_SLOT, CAPACITY).bare(),
            pair::rtrb::<Sample>(RTRB_MESSAGE, CAPACITY).bare(),
            photon::pair().bare(),
            many::crossbeam::<Sample>().bare(),
        )
    };
}

/// Pairs our column with each rival, except for those of `goal`.
fn pairs(goal: Pair) -> Vec<Pair> {
    let rivals = [RING, RTRB_MESSAGE, PHOTON, CROSSBEAM];
    [goal].into_iter().chain(rivals.map(|rival| Pair::new(EMIT, rival))).collect()
}

pub(super) fn emit(options: &Options) -> Contest {
    let budget = TaskBudget::new();
    Contest {
        timed: "512 sends and the end of the poll; received between the timed parts",
        operations: options.operations(16 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns: every!(budget.clone(), budget, ends => to_one(ends)),
        pairs: pairs(Pair::new(EMIT, RTRB_SLOT).within(1.3)),
        ..Contest::new("emit", ROW, "one thread, 56 bytes to one subscriber")
    }
}

pub(super) fn emit_batch(options: &Options) -> Contest {
    let budget = TaskBudget::new();
    let new = || topic::pair(budget.clone(), budget.clone());
    Contest {
        timed: "512 sends and the end of the poll; received between the timed parts",
        operations: options.operations(16 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns: vec![
            in_batches(EMIT_BATCH, new()),
            to_one(new()),
            #[cfg(feature = "rivals")]
            in_batches(RTRB_CHUNKS, pair::rtrb::<Sample>(RTRB_CHUNKS, CAPACITY).bare()),
        ],
        pairs: vec![Pair::new(EMIT_BATCH, RTRB_CHUNKS).within(1.3), Pair::new(EMIT_BATCH, EMIT)],
        ..Contest::new("emit-batch", ROW, "one thread, 56 bytes in batches of 16")
    }
}

/// Measures emits to a traced topic, beside emits to a topic without traces.
pub(super) fn emit_traces(options: &Options) -> Contest {
    Contest {
        timed: "512 sends and the end of the poll; received between the timed parts",
        operations: options.operations(16 * BATCH, 4 * BATCH).next_multiple_of(BATCH),
        columns: vec![
            to_one(topic::pair(TaskBudget::new(), TaskBudget::new())),
            to_one(traces::with_share(LEFT_OUT, 0.0)),
            to_one(traces::passed_on()),
            to_one(traces::with_share(BEGUN, 1.0)),
            to_one(traces::copying()),
        ],
        pairs: vec![
            Pair::new(LEFT_OUT, COPYING).within(1.3),
            Pair::new(PASSED_ON, COPYING).within(1.3),
            Pair::new(LEFT_OUT, EMIT),
            Pair::new(PASSED_ON, EMIT),
            Pair::new(BEGUN, EMIT),
        ],
        ..Contest::new("emit-traces", "emit with a trace", "one thread, 56 bytes with a trace")
    }
}

/// Measures emits in a node with many topics, and to many subscribers.
pub(super) fn among_many(options: &Options) -> Contest {
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
        ..Contest::new("scale", "emit in a node of many topics, and to many subscribers", title)
    }
}

pub(super) fn threads(options: &Options, cores: &Cores) -> Sweep {
    /// The rivals that move at least the bytes of our slot: a stamp and a message of 56 bytes.
    const SAME_BYTES: &[&str] = &[RTRB_SLOT, PHOTON, CROSSBEAM];
    let mut pairs = pairs(Pair::best(EMIT, SAME_BYTES).within(1.2));
    pairs.push(Pair::new(EMIT_BATCH, EMIT).within(1.2));
    Sweep::over(cores.sweep(), pairs, |idle| {
        let title = format!("two threads one way, 56 bytes, waiting: {idle}");
        let mut columns = every!(TaskBudget::new(), TaskBudget::new(), ends => {
            one_way::<1, _, _>(ends, idle, cores)
        });
        let ends = topic::pair(TaskBudget::new(), TaskBudget::new());
        let ends = Ends { name: EMIT_BATCH, ..ends };
        columns.push(one_way::<16, _, _>(ends, idle, cores));
        Contest {
            timed: "from the first send to the last receive, with checksums",
            operations: options.operations(40_000, 4_000),
            columns,
            ..Contest::new("threads", "emit to a subscriber on another core", title).at(idle.slug())
        }
    })
}
