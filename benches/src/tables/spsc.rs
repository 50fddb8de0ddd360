//! One sender and one receiver on two cores: numbers one by one and in batches, messages of 56 and 64 bytes; and what
//! a push costs where nobody else is at work.

use crate::affinity::Cores;
use crate::ends::{CAPACITY, columns};
use crate::goals::{Pair, rows};
use crate::harness::{Column, Contest};
use crate::item::{Item, Wide};
use crate::loops::one_thread::{BATCH as POLL, Fan, Timed};
use crate::loops::one_way::{OneWay, OneWayInBatches, Threads};
use crate::options::Options;
use crate::ours::mpmc;
use crate::ours::spsc::{self as ours, INDEX, SLICES, STAMPED};
use crate::rivals::channels::{self, CROSSBEAM, KANAL};
use crate::rivals::queues::{self, ARRAY_QUEUE};
use crate::rivals::rtrb::{self, RTRB, RTRB_CHUNKS, RTRB_SLICES};
use crate::rivals::spsc::{self, DISRUPTOR, DISRUPTOR_BATCHES, HEAPLESS, RINGBUF, RINGBUF_SLICES};
use crate::sample::Sample;
use crate::tables::Job;
use crate::wait::Wait;

/// Those that goals are beside. The other columns are there to be seen.
const RIVALS: &[&str] = &[RTRB, RINGBUF, HEAPLESS, DISRUPTOR, ARRAY_QUEUE, CROSSBEAM, KANAL];
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
            spsc::disruptor::<$item>(DISRUPTOR).bare(),
            queues::array_queue::<$item>().bare(),
            queues::concurrent_queue::<$item>().bare(),
            queues::thingbuf::<$item>().bare(),
            channels::crossbeam::<$item>().bare(),
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
        ("spsc", numbers as fn(&Options, &Cores, Wait) -> Job),
        ("spsc-batches", batches),
        ("spsc-56", messages),
        ("spsc-64", wide_messages),
    ];
    for (_, table) in tables.into_iter().filter(|(key, _)| options.wants(key)) {
        jobs.extend(cores.sweep().into_iter().map(|wait| table(options, cores, wait)));
    }
    jobs
}

fn push(options: &Options) -> Job {
    let mut columns: Vec<Box<dyn Column>> = every!(u64, ends => Fan::to_one(Timed::Sending, ends));
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

fn numbers(options: &Options, cores: &Cores, wait: Wait) -> Job {
    let pairs = vec![
        Pair::best(INDEX, RIVALS).at_least(1.1).judged_if(wait == Wait::Busy),
        Pair::new(INDEX, RTRB).throughput(),
        Pair::best(STAMPED, RIVALS).throughput(),
    ];
    one_way::<u64>(options, cores, wait, "spsc", rows::SPSC_NUMBERS, pairs)
}

fn messages(options: &Options, cores: &Cores, wait: Wait) -> Job {
    let goal = match wait {
        Wait::Pauses => Pair::new(STAMPED, RTRB).at_least(1.2),
        _ => Pair::new(STAMPED, RTRB).at_least(2.0).judged_if(wait == Wait::Busy),
    };
    one_way::<Sample>(options, cores, wait, "spsc-56", rows::SPSC_MESSAGES, with_others(goal))
}

fn wide_messages(options: &Options, cores: &Cores, wait: Wait) -> Job {
    let goal = Pair::new(STAMPED, RTRB).at_least(1.5).judged_if(wait == Wait::Busy);
    one_way::<Wide>(options, cores, wait, "spsc-64", rows::SPSC_MESSAGES, with_others(goal))
}

/// A goal for messages, and ratios that are printed beside it.
fn with_others(goal: Pair) -> Vec<Pair> {
    let best = Pair::best(STAMPED, RIVALS).throughput();
    vec![goal, Pair::new(INDEX, RTRB).throughput(), best]
}

fn one_way<T: Item>(
    options: &Options,
    cores: &Cores,
    wait: Wait,
    key: &'static str,
    row: &'static str,
    pairs: Vec<Pair>,
) -> Job {
    let bytes = size_of::<T>();
    Job::Contest(Contest {
        key,
        point: Some(wait.slug().to_owned()),
        row,
        title: format!("two threads one way, {bytes} bytes one by one, waiting: {wait}"),
        timed: "from the first send to the last receive, with sums",
        operations: options.operations(100_000, 4_000),
        columns: every!(T, ends => OneWay(Threads { ends, wait, cores: cores.clone() })),
        pairs,
    })
}

fn batches(options: &Options, cores: &Cores, wait: Wait) -> Job {
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
    let busy = wait == Wait::Busy;
    Job::Contest(Contest {
        key: "spsc-batches",
        point: Some(wait.slug().to_owned()),
        row: rows::SPSC_NUMBERS,
        title: format!("two threads one way, 8 bytes in batches of {BATCH}, waiting: {wait}"),
        timed: "from the first send to the last receive, with sums",
        operations: options.operations(1_000_000, 4_000),
        columns,
        pairs: vec![
            Pair::new(SLICES, RTRB_CHUNKS).at_least(1.1).judged_if(busy),
            Pair::best(SLICES, RIVALS_IN_BATCHES).at_least(0.9).judged_if(busy),
        ],
    })
}
