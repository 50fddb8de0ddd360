//! One sender and one receiver: a push alone, numbers and messages one way on two cores, round
//! trips, and tasks that await each other.

use crate::affinity::Cores;
use crate::ends::{CAPACITY, columns};
use crate::goals::Pair;
use crate::harness::{Contest, Kind, Sweep};
use crate::loops::one_thread::{BATCH as POLL, to_one};
use crate::loops::one_way::{Threads, one_way, one_way_in_batches};
use crate::loops::tasks::parked;
use crate::loops::trip::trips as trip_column;
use crate::options::Options;
use crate::ours::broadcast::{self as ring, RING_TRIP};
use crate::ours::channels;
use crate::ours::rings::{self as ours, IN_PLACE, INDEX, MPMC, SLICES, STAMPED};
use crate::rivals::many::{
    self, ARRAY_QUEUE, ASYNC_CHANNEL, CROSSBEAM, CROSSFIRE_SPSC, FLUME, KANAL, TOKIO_MPSC,
};
use crate::rivals::pair::{
    self, DISRUPTOR, DISRUPTOR_BATCHES, HEAPLESS, NEXUS, RAW, RINGBUF, RINGBUF_SLICES, RTRB,
    RTRB_CHUNKS, RTRB_MESSAGE, RTRB_SLICES,
};
use crate::rivals::tasks as awaited;
use crate::sample::{Item, Sample, Wide};
use crate::tables::rows;
use crate::wait::Idle;

/// The rivals that count for goals. The other columns are printed only.
const RIVALS: &[&str] =
    &[RTRB, RINGBUF, HEAPLESS, NEXUS, DISRUPTOR, ARRAY_QUEUE, CROSSBEAM, KANAL, CROSSFIRE_SPSC];
const RIVALS_IN_BATCHES: &[&str] = &[RTRB_CHUNKS, RTRB_SLICES, RINGBUF_SLICES, DISRUPTOR_BATCHES];
const AWAITED_RIVALS: &[&str] = &[TOKIO_MPSC, ASYNC_CHANNEL, FLUME];

/// Items in a batch.
const BATCH: usize = 64;
/// Items that the rings of a round trip hold. One is in flight, and this size fits the L1 cache.
const TRIP_CAPACITY: usize = 64;

/// Every column that takes items one by one: `every!(type, ends => column)`.
macro_rules! every {
    ($item:ty, $ends:ident => $column:expr) => {
        columns!($ends => $column;
            ours::index::<$item, CAPACITY>().bare(),
            ours::slipping::<$item>().bare(),
            ours::stamped::<$item, CAPACITY>().bare(),
            ours::stamped_slipping::<$item>().bare(),
            pair::rtrb::<$item>(RTRB, CAPACITY).bare(),
            pair::ringbuf::<$item>().bare(),
            pair::heapless::<$item, CAPACITY>().bare(),
            pair::nexus::<$item>().bare(),
            many::gil_spsc::<$item>().bare(),
            pair::disruptor::<$item>(DISRUPTOR).bare(),
            many::array_queue::<$item>().bare(),
            many::concurrent_queue::<$item>().bare(),
            many::thingbuf::<$item>().bare(),
            many::crossbeam::<$item>().bare(),
            many::crossfire_spsc::<$item>().bare(),
            many::rapidfire::<$item>().bare(),
            many::kanal::<$item>().bare(),
            many::flume::<$item>().bare(),
            many::async_channel::<$item>().bare(),
            many::tokio_mpsc::<$item>().bare(),
        )
    };
}

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let mut sweeps = Vec::new();
    if options.wants("push") {
        sweeps.push(push(options).into());
    }
    if options.wants("spsc") {
        let pairs = vec![
            Pair::best(INDEX, RIVALS).at_least(1.0),
            Pair::new(INDEX, RTRB).throughput(),
            Pair::best(STAMPED, RIVALS).throughput(),
        ];
        sweeps.push(items::<u64>(options, cores, "spsc", rows::SPSC_NUMBERS, pairs));
    }
    if options.wants("spsc-batches") {
        let pairs = vec![
            Pair::new(SLICES, RTRB_CHUNKS).at_least(1.0),
            Pair::new(IN_PLACE, RTRB_CHUNKS).throughput(),
            Pair::best(SLICES, RIVALS_IN_BATCHES).throughput(),
        ];
        sweeps.push(Sweep::over(cores.sweep(), pairs, |idle| batches(options, cores, idle)));
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
        sweeps.extend(trips(options, cores));
    }
    sweeps
}

fn push(options: &Options) -> Contest {
    let mut columns = every!(u64, ends => to_one(ends));
    // Readers that check less often do not find at once all that was sent.
    columns.retain(|column| ![ours::SLIPPING, ours::STAMPED_SLIPPING].contains(&column.name));
    columns.push(to_one(ours::mpmc::<u64>(MPMC).bare()));
    let title = "one thread, numbers one by one, the sender's cost";
    Contest {
        timed: "512 sends; received between the timed parts",
        operations: options.operations(16 * POLL, 4 * POLL).next_multiple_of(POLL),
        columns,
        pairs: vec![
            Pair::best(INDEX, RIVALS),
            Pair::best(STAMPED, RIVALS),
            Pair::new(MPMC, ARRAY_QUEUE),
        ],
        ..Contest::new("push", rows::SPSC_NUMBERS, title)
    }
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

fn batches(options: &Options, cores: &Cores, idle: Idle) -> Contest {
    let columns = columns!(
        ends => one_way_in_batches(Threads { ends, idle, cores: cores.clone() }, BATCH);
        ours::slices::<u64>().bare(),
        ours::in_place::<u64>().bare(),
        pair::rtrb::<u64>(RTRB_CHUNKS, CAPACITY).bare(),
        pair::rtrb_slices::<u64>().bare(),
        pair::ringbuf_slices::<u64>().bare(),
        pair::disruptor::<u64>(DISRUPTOR_BATCHES).bare(),
    );
    let title = format!("two threads one way, 8 bytes in batches of {BATCH}, waiting: {idle}");
    Contest {
        timed: "from the first send to the last receive, with checksums",
        operations: options.operations(1_000_000, 4_000),
        columns,
        ..Contest::new("spsc-batches", rows::SPSC_NUMBERS, title).at(idle.slug())
    }
}

/// The means as a sweep, then the latencies at each point.
fn trips(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let pairs = vec![
        Pair::new(STAMPED, RAW).within_at_median(1.0),
        Pair::new(RING_TRIP, RAW).within_at_median(1.1),
        Pair::new(STAMPED, RTRB),
        Pair::new(INDEX, RAW),
        Pair::new(RING_TRIP, RTRB_MESSAGE),
    ];
    let contest = |idle: Idle, each| {
        let title = format!(
            "two threads, 8 bytes (or 56, if the column says so) there and back in rings of \
             {TRIP_CAPACITY}, waiting: {idle}"
        );
        Contest {
            kind: if each { Kind::Latencies } else { Kind::Times },
            timed: "all trips of a round; one operation is there and back",
            operations: options.operations(4_000, 1_000),
            columns: columns!(ends => trip_column(ends, idle, cores, each);
                ours::stamped::<u64, TRIP_CAPACITY>,
                ours::index::<u64, TRIP_CAPACITY>,
                || ring::pair(RING_TRIP, TRIP_CAPACITY),
                pair::raw,
                || pair::rtrb::<u64>(RTRB, TRIP_CAPACITY),
                || pair::rtrb::<Sample>(RTRB_MESSAGE, TRIP_CAPACITY),
                pair::heapless::<u64, TRIP_CAPACITY>,
            ),
            ..Contest::new("trip", rows::TRIP, title).at(idle.slug())
        }
    };
    let means = Sweep::over(cores.sweep(), pairs, |idle| contest(idle, false));
    let each = cores.sweep().into_iter().map(|idle| contest(idle, true).into());
    std::iter::once(means).chain(each).collect()
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
            channels::mpmc,
            awaited::tokio_mpsc,
            awaited::async_channel,
            awaited::flume,
            awaited::kanal,
            awaited::crossfire,
            awaited::rapidfire,
        ),
        pairs: vec![
            Pair::new(channels::STAMPED, TOKIO_MPSC).within(0.5),
            Pair::best(channels::STAMPED, AWAITED_RIVALS),
            Pair::new(channels::STAMPED, KANAL),
            Pair::best(channels::INDEX, AWAITED_RIVALS),
            Pair::best(channels::MPMC, AWAITED_RIVALS),
        ],
        ..Contest::new("tasks", rows::TASKS, title)
    };
    options.wants("tasks").then(|| contest().into())
}
