//! One sender and one receiver: numbers and messages one way on two cores, round trips, and tasks
//! that await each other.

use crate::affinity::Cores;
use crate::ends::{CAPACITY, columns};
use crate::goals::Pair;
use crate::harness::{Contest, Sweep};
use crate::loops::one_way::{Threads, one_way, one_way_in_batches};
use crate::loops::tasks::parked;
use crate::loops::trip::trips as trip_column;
use crate::options::Options;
use crate::ours::broadcast::{self as ring, RING_TRIP};
use crate::ours::channels;
use crate::ours::rings::{self as ours, INDEX, SLICES, STAMPED};
use crate::rivals::raw::{RAW, raw};
use crate::rivals::{
    ARRAY_QUEUE, ASYNC_CHANNEL, CROSSBEAM, HEAPLESS, KANAL, RINGBUF, RTRB, RTRB_CHUNKS,
    RTRB_MESSAGE, TOKIO_MPSC, tasks as awaited,
};
#[cfg(feature = "rivals")]
use crate::rivals::{many, pair};
use crate::sample::{Item, Sample, Wide};
use crate::tables::rows;

const RIVALS: &[&str] = &[RTRB, RINGBUF, HEAPLESS, ARRAY_QUEUE, CROSSBEAM, KANAL];

/// Items in a batch.
const BATCH: usize = 64;
/// Items that the rings of a round trip hold. One is in flight, and this size fits the L1 cache.
const TRIP_CAPACITY: usize = 64;

/// Every column that takes items one by one: `every!(type, ends => column)`.
macro_rules! every {
    ($item:ty, $ends:ident => $column:expr) => {
        columns!($ends => $column;
            ours::index::<$item, CAPACITY>().bare(),
            ours::stamped::<$item, CAPACITY>().bare();
            rivals:
            pair::rtrb::<$item>(RTRB, CAPACITY).bare(),
            pair::ringbuf::<$item>().bare(),
            pair::heapless::<$item, CAPACITY>().bare(),
            many::array_queue::<$item>().bare(),
            many::crossbeam::<$item>().bare(),
            many::kanal::<$item>().bare(),
        )
    };
}

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let mut sweeps = Vec::new();
    if options.wants("spsc") {
        let pairs = vec![
            Pair::best(INDEX, RIVALS).at_least(1.0),
            Pair::new(INDEX, RTRB).throughput(),
            Pair::best(STAMPED, RIVALS).throughput(),
        ];
        sweeps.push(items::<u64>(options, cores, "spsc", rows::SPSC_NUMBERS, pairs));
    }
    if options.wants("spsc-batches") {
        sweeps.push(batches(options, cores));
    }
    let pairs = vec![
        Pair::best(STAMPED, RIVALS).within(0.8),
        Pair::new(STAMPED, RTRB),
        Pair::best(INDEX, RIVALS),
    ];
    let row = rows::SPSC_MESSAGES;
    if options.wants("spsc-56") {
        sweeps.push(items::<Sample>(options, cores, "spsc-56", row, pairs.clone()));
    }
    if options.wants("spsc-64") {
        sweeps.push(items::<Wide>(options, cores, "spsc-64", row, pairs));
    }
    if options.wants("trip") {
        sweeps.push(trips(options, cores));
    }
    sweeps
}

fn items<T: Item>(
    options: &Options,
    cores: &Cores,
    key: &'static str,
    row: &'static str,
    pairs: Vec<Pair>,
) -> Sweep {
    Sweep::over(cores.sweep(), pairs, |idle| {
        let bytes = size_of::<T>();
        let title = format!("two threads one way, {bytes} bytes one by one, waiting: {idle}");
        Contest {
            timed: "from the first send to the last receive, with checksums",
            operations: options.operations(100_000, 4_000),
            columns: every!(T, ends => one_way(Threads { ends, idle, cores: cores.clone() })),
            ..Contest::new(key, row, title).at(idle.slug())
        }
    })
}

fn batches(options: &Options, cores: &Cores) -> Sweep {
    let pairs = vec![Pair::new(SLICES, RTRB_CHUNKS).at_least(1.0)];
    Sweep::over(cores.sweep(), pairs, |idle| {
        let title = format!("two threads one way, 8 bytes in batches of {BATCH}, waiting: {idle}");
        Contest {
            timed: "from the first send to the last receive, with checksums",
            operations: options.operations(1_000_000, 4_000),
            columns: columns!(
                ends => one_way_in_batches(Threads { ends, idle, cores: cores.clone() }, BATCH);
                ours::slices::<u64>().bare();
                rivals:
                pair::rtrb::<u64>(RTRB_CHUNKS, CAPACITY).bare(),
            ),
            ..Contest::new("spsc-batches", rows::SPSC_NUMBERS, title).at(idle.slug())
        }
    })
}

fn trips(options: &Options, cores: &Cores) -> Sweep {
    let pairs = vec![
        Pair::new(STAMPED, RAW).within_at_median(1.0),
        Pair::new(RING_TRIP, RAW).within_at_median(1.1),
        Pair::new(STAMPED, RTRB),
        Pair::new(INDEX, RAW),
        Pair::new(RING_TRIP, RTRB_MESSAGE),
    ];
    Sweep::over(cores.sweep(), pairs, |idle| {
        let title = format!(
            "two threads, 8 bytes (or 56, if the column says so) there and back in rings of \
             {TRIP_CAPACITY}, waiting: {idle}"
        );
        Contest {
            timed: "all trips of a round; one operation is there and back",
            operations: options.operations(4_000, 1_000),
            columns: columns!(ends => trip_column(ends, idle, cores, false);
                ours::stamped::<u64, TRIP_CAPACITY>,
                ours::index::<u64, TRIP_CAPACITY>,
                || ring::pair(RING_TRIP, TRIP_CAPACITY),
                raw;
                rivals:
                || pair::rtrb::<u64>(RTRB, TRIP_CAPACITY),
                || pair::rtrb::<Sample>(RTRB_MESSAGE, TRIP_CAPACITY),
                pair::heapless::<u64, TRIP_CAPACITY>,
            ),
            ..Contest::new("trip", rows::TRIP, title).at(idle.slug())
        }
    })
}

/// A number to a sleeping task and back, both tasks in one runtime of one thread.
pub(super) fn tasks(options: &Options) -> Option<Sweep> {
    let title = "two tasks of a current_thread runtime, 8 bytes to a sleeping task and back";
    let contest = || Contest {
        timed: "all trips of a round; one operation is there and back, with two wakes",
        operations: options.operations(4_000, 500),
        columns: columns!(ends => parked(ends);
            channels::stamped,
            channels::spsc,
            awaited::tokio_mpsc;
            rivals:
            awaited::async_channel,
            awaited::kanal,
        ),
        pairs: vec![
            Pair::new(channels::STAMPED, TOKIO_MPSC).within(0.5),
            Pair::new(channels::STAMPED, ASYNC_CHANNEL),
            Pair::new(channels::STAMPED, KANAL),
            Pair::new(channels::INDEX, TOKIO_MPSC),
        ],
        ..Contest::new("tasks", rows::TASKS, title)
    };
    options.wants("tasks").then(|| contest().into())
}
