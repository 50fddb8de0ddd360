//! One sender and one receiver: numbers and messages one way on two cores, and round trips.

use crate::ends::{CAPACITY, columns};
use crate::goals::Pair;
use crate::harness::{Contest, Sweep};
use crate::loops::one_way::one_way;
use crate::loops::trip::trips as trip_column;
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::ours::broadcast::{self as ring, RING_TRIP};
use crate::ours::rings::{self as ours, INDEX, SLICES, STAMPED};
use crate::raw::{RAW, raw};
use crate::rivals::{
    ARRAY_QUEUE, CROSSBEAM, HEAPLESS, KANAL, RINGBUF, RTRB, RTRB_CHUNKS, RTRB_MESSAGE,
};
#[cfg(feature = "rivals")]
use crate::rivals::{many, pair};
use crate::sample::Item;
#[cfg(feature = "rivals")]
use crate::sample::Sample;

const NUMBERS: &str = "spsc, numbers: one by one, batches of 64";
const RIVALS: &[&str] = &[RTRB, RINGBUF, HEAPLESS, ARRAY_QUEUE, CROSSBEAM, KANAL];

/// Items in a batch.
const BATCH: usize = 64;
/// The capacity of the rings of a round trip. One item is in flight, and this size fits the L1
/// cache.
const TRIP_CAPACITY: usize = 64;

/// Makes every column that takes items one by one: `every!(type, ends => column)`.
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

pub(super) fn numbers(options: &Options, cores: &Cores) -> Sweep {
    let pairs = vec![
        Pair::best(INDEX, RIVALS).at_least(1.0),
        Pair::new(INDEX, RTRB).throughput(),
        Pair::best(STAMPED, RIVALS).throughput(),
    ];
    items::<u64>(options, cores, "spsc", NUMBERS, pairs)
}

pub(super) fn messages<T: Item>(options: &Options, cores: &Cores) -> Sweep {
    let pairs = vec![
        Pair::best(STAMPED, RIVALS).within(0.8),
        Pair::new(STAMPED, RTRB),
        Pair::best(INDEX, RIVALS),
    ];
    let key = if size_of::<T>() == 56 { "spsc-56" } else { "spsc-64" };
    items::<T>(options, cores, key, "spsc, messages of 56 and 64 bytes", pairs)
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
            columns: every!(T, ends => one_way::<1, _, _>(ends, idle, cores)),
            ..Contest::new(key, row, title).at(idle.slug())
        }
    })
}

pub(super) fn batches(options: &Options, cores: &Cores) -> Sweep {
    let pairs = vec![Pair::new(SLICES, RTRB_CHUNKS).at_least(1.0)];
    Sweep::over(cores.sweep(), pairs, |idle| {
        let title = format!("two threads one way, 8 bytes in batches of {BATCH}, waiting: {idle}");
        Contest {
            timed: "from the first send to the last receive, with checksums",
            operations: options.operations(1_000_000, 4_000),
            columns: columns!(ends => one_way::<BATCH, _, _>(ends, idle, cores);
                ours::slices::<u64>().bare();
                rivals:
                pair::rtrb::<u64>(RTRB_CHUNKS, CAPACITY).bare(),
            ),
            ..Contest::new("spsc-batches", NUMBERS, title).at(idle.slug())
        }
    })
}

pub(super) fn trips(options: &Options, cores: &Cores) -> Sweep {
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
            ..Contest::new("trip", "spsc round trip", title).at(idle.slug())
        }
    })
}
