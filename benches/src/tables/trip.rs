//! A number, and a message of 56 bytes, there and back between two cores, beside the least that the machine allows.

use crate::affinity::Cores;
use crate::ends::columns;
use crate::goals::{Pair, rows};
use crate::harness::{Contest, Sweep};
use crate::loops::latency::Latencies;
use crate::loops::trip::Trip;
use crate::options::Options;
use crate::ours::broadcast::{self as ring, RING_TRIP};
use crate::ours::spsc::{self as ours, INDEX, STAMPED};
use crate::rivals::raw::{self, RAW};
use crate::rivals::rtrb::{self, RTRB, RTRB_MESSAGE};
use crate::rivals::spsc;
use crate::tables::Job;
use crate::wait::WaitStrategy;

/// How many items the rings hold. One is on its way at a time, and a ring of this size stays in a core's first cache.
const ROOM: usize = 64;

/// Every column: `every!(ends => wrapper)`, where `ends` makes the ends of one way. Ours first.
macro_rules! every {
    ($ends:ident => $wrapper:expr) => {
        columns!($ends => $wrapper;
            ours::stamped::<u64, ROOM>,
            ours::index::<u64, ROOM>,
            ring::small::<ROOM>,
            raw::line,
            rtrb::one::<u64, ROOM>,
            rtrb::small::<ROOM>,
            spsc::heapless::<u64, ROOM>,
        )
    };
}

pub(super) fn jobs(options: &Options, cores: &Cores) -> Vec<Job> {
    if !options.wants("trip") {
        return Vec::new();
    }
    let pairs = vec![
        Pair::new(STAMPED, RAW).within_at_median(1.0),
        Pair::new(RING_TRIP, RAW).within_at_median(1.1),
        Pair::new(STAMPED, RTRB),
        Pair::new(INDEX, RAW),
        Pair::new(RING_TRIP, RTRB_MESSAGE),
    ];
    let sweep = Sweep::over(cores.sweep(), pairs, |wait| mean(options, cores, wait));
    let times = cores.sweep().into_iter().map(|wait| times(options, cores, wait));
    std::iter::once(Job::Sweep(sweep)).chain(times).collect()
}

fn mean(options: &Options, cores: &Cores, wait: WaitStrategy) -> Contest {
    Contest {
        key: "trip",
        point: Some(wait.slug().to_owned()),
        row: rows::TRIP,
        title: title(wait),
        timed: "all trips of a round; one operation is there and back",
        operations: options.operations(4_000, 1_000),
        columns: every!(ends => Trip::new(ends, wait, cores)),
        pairs: Vec::new(),
    }
}

fn title(wait: WaitStrategy) -> String {
    format!(
        "two threads, 8 bytes (where a column says so, 56) there and back in rings of {ROOM}, waiting: {wait}"
    )
}

fn times(options: &Options, cores: &Cores, wait: WaitStrategy) -> Job {
    Job::Latencies(Latencies {
        key: "trip",
        point: wait.slug(),
        title: title(wait),
        operations: options.operations(4_000, 1_000),
        columns: every!(ends => Trip::new(ends, wait, cores)),
    })
}
