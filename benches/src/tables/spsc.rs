//! One sender and one receiver on two cores: numbers one by one and in batches, messages of 56 and 64 bytes; and what
//! a push costs where nobody else is at work.

use crate::affinity::Cores;
use crate::ends::{CAPACITY, columns};
use crate::goals::{Pair, rows};
use crate::harness::{Column, Contest, Sweep};
use crate::item::{Item, Wide};
use crate::loops::one_thread::{BATCH as POLL, Fan, Timed};
use crate::loops::one_way::{OneWay, OneWayInBatches, Threads};
use crate::options::Options;
use crate::ours::mpmc;
use crate::ours::spsc::{self as ours, IN_PLACE, INDEX, SLICES, STAMPED};
use crate::rivals::channels::{self, CROSSBEAM, CROSSFIRE_SPSC, KANAL};
use crate::rivals::gil;
use crate::rivals::queues::{self, ARRAY_QUEUE};
use crate::rivals::rtrb::{self, RTRB, RTRB_CHUNKS, RTRB_SLICES};
use crate::rivals::spsc::{
    self, DISRUPTOR, DISRUPTOR_BATCHES, HEAPLESS, NEXUS, RINGBUF, RINGBUF_SLICES,
};
use crate::sample::Sample;
use crate::tables::Job;
use crate::wait::WaitStrategy;

/// Those that goals are beside. The other columns are there to be seen.
const RIVALS: &[&str] =
    &[RTRB, RINGBUF, HEAPLESS, NEXUS, DISRUPTOR, ARRAY_QUEUE, CROSSBEAM, KANAL, CROSSFIRE_SPSC];
const RIVALS_IN_BATCHES: &[&str] = &[RTRB_CHUNKS, RTRB_SLICES, RINGBUF_SLICES, DISRUPTOR_BATCHES];

/// Items in a batch.
const BATCH: usize = 64;

/// Every column that takes items one by one, wrapped: `every!(type, ends => wrapper)`.
macro_rules! every {
    ($item:ty, $ends:ident => $wrapper:expr) => {
        columns!($ends => $wrapper;
            ours::index::<$item, CAPACITY>().bare(),
            ours::slipping::<$item, CAPACITY>().bare(),
            ours::stamped::<$item, CAPACITY>().bare(),
            ours::stamped_slipping::<$item, CAPACITY>().bare(),
            rtrb::one::<$item, CAPACITY>().bare(),
            spsc::ringbuf::<$item>().bare(),
            spsc::heapless::<$item, CAPACITY>().bare(),
            spsc::nexus::<$item>().bare(),
            gil::one::<$item>().bare(),
            spsc::disruptor::<$item>(DISRUPTOR).bare(),
            queues::array_queue::<$item>().bare(),
            queues::concurrent_queue::<$item>().bare(),
            queues::thingbuf::<$item>().bare(),
            channels::crossbeam::<$item>().bare(),
            channels::crossfire_spsc::<$item>().bare(),
            channels::rapidfire::<$item>().bare(),
            channels::kanal::<$item>().bare(),
            channels::flume::<$item>().bare(),
            channels::async_channel::<$item>().bare(),
            channels::tokio_mpsc::<$item>().bare(),
        )
    };
}

pub(super) fn jobs(options: &Options, cores: &Cores) -> Vec<Job> {
    let mut jobs = Vec::new();
    if options.wants("push") {
        jobs.push(push(options));
    }
    let tables = [
        ("spsc", numbers as fn(&Options, &Cores) -> Sweep),
        ("spsc-batches", batches),
        ("spsc-56", messages),
        ("spsc-64", wide_messages),
    ];
    let wanted = tables.into_iter().filter(|(key, _)| options.wants(key));
    jobs.extend(wanted.map(|(_, table)| Job::Sweep(table(options, cores))));
    jobs
}

fn push(options: &Options) -> Job {
    let mut columns: Vec<Box<dyn Column>> = every!(u64, ends => Fan::to_one(Timed::Sending, ends));
    // A reader that leaves looks out does not find at once all that was sent.
    columns.retain(|column| ![ours::SLIPPING, ours::STAMPED_SLIPPING].contains(&column.name()));
    columns.push(Box::new(Fan::to_one(Timed::Sending, mpmc::ends::<u64>(mpmc::ONE_BY_ONE).bare())));
    Job::Contest(Contest {
        key: "push",
        point: None,
        row: rows::SPSC_NUMBERS,
        title: "one thread, numbers one by one, the sender's cost".into(),
        timed: "512 sends; they are received between the timed parts",
        operations: options.operations(16 * POLL, 4 * POLL).next_multiple_of(POLL),
        columns,
        pairs: vec![
            Pair::best(INDEX, RIVALS),
            Pair::best(STAMPED, RIVALS),
            Pair::new(mpmc::ONE_BY_ONE, ARRAY_QUEUE),
        ],
    })
}

fn numbers(options: &Options, cores: &Cores) -> Sweep {
    let pairs = vec![
        Pair::best(INDEX, RIVALS).at_least(1.0),
        Pair::new(INDEX, RTRB).throughput(),
        Pair::best(STAMPED, RIVALS).throughput(),
    ];
    one_way::<u64>(options, cores, "spsc", rows::SPSC_NUMBERS, pairs)
}

fn messages(options: &Options, cores: &Cores) -> Sweep {
    one_way::<Sample>(options, cores, "spsc-56", rows::SPSC_MESSAGES, of_messages())
}

fn wide_messages(options: &Options, cores: &Cores) -> Sweep {
    one_way::<Wide>(options, cores, "spsc-64", rows::SPSC_MESSAGES, of_messages())
}

fn of_messages() -> Vec<Pair> {
    vec![
        Pair::best(STAMPED, RIVALS).within(0.8),
        Pair::new(STAMPED, RTRB),
        Pair::best(INDEX, RIVALS),
    ]
}

fn one_way<T: Item>(
    options: &Options,
    cores: &Cores,
    key: &'static str,
    row: &'static str,
    pairs: Vec<Pair>,
) -> Sweep {
    let bytes = size_of::<T>();
    Sweep::over(cores.sweep(), pairs, |wait| Contest {
        key,
        point: Some(wait.slug().to_owned()),
        row,
        title: format!("two threads one way, {bytes} bytes one by one, waiting: {wait}"),
        timed: "from the first send to the last receive, with sums",
        operations: options.operations(100_000, 4_000),
        columns: every!(T, ends => OneWay(Threads { ends, wait, cores: cores.clone() })),
        pairs: Vec::new(),
    })
}

fn batches(options: &Options, cores: &Cores) -> Sweep {
    let pairs = vec![
        Pair::new(SLICES, RTRB_CHUNKS).at_least(1.0),
        Pair::new(IN_PLACE, RTRB_CHUNKS).throughput(),
        Pair::best(SLICES, RIVALS_IN_BATCHES).throughput(),
    ];
    Sweep::over(cores.sweep(), pairs, |wait| in_batches(options, cores, wait))
}

fn in_batches(options: &Options, cores: &Cores, wait: WaitStrategy) -> Contest {
    let columns: Vec<Box<dyn Column>> = columns!(ends => OneWayInBatches {
            threads: Threads { ends, wait, cores: cores.clone() },
            batch: BATCH,
        };
        ours::slices::<u64>().bare(),
        ours::in_place::<u64>().bare(),
        rtrb::chunks::<u64>().bare(),
        rtrb::slices::<u64>().bare(),
        spsc::ringbuf_slices::<u64>().bare(),
        spsc::disruptor::<u64>(DISRUPTOR_BATCHES).bare(),
    );
    Contest {
        key: "spsc-batches",
        point: Some(wait.slug().to_owned()),
        row: rows::SPSC_NUMBERS,
        title: format!("two threads one way, 8 bytes in batches of {BATCH}, waiting: {wait}"),
        timed: "from the first send to the last receive, with sums",
        operations: options.operations(1_000_000, 4_000),
        columns,
        pairs: Vec::new(),
    }
}
