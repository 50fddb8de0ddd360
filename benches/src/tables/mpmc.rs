//! Many senders and many receivers of one ring, each item once: throughput, and whether every thread gets its share.

use std::time::Duration;

use crate::affinity::Cores;
use crate::ends::columns;
use crate::goals::{Pair, rows};
use crate::harness::{Column, Contest, Mismatch};
use crate::loops::crowd::{Crowd, Shape};
use crate::loops::shares::Watched;
use crate::options::Options;
use crate::ours::mpmc::{self as ours, BATCHES, ONE_BY_ONE};
use crate::report::{FairnessTable, Share, Verdict};
use crate::rivals::channels::{self, ASYNC_CHANNEL, CROSSBEAM, CROSSFIRE, FLUME, KANAL, RAPIDFIRE};
use crate::rivals::gil::{self, GIL_MPMC, GIL_SHARDED};
use crate::rivals::queues::{self, ARRAY_QUEUE, CONCURRENT_QUEUE, HEAPLESS};
use crate::tables::Job;
use crate::wait::{SHARED, WaitStrategy};

/// Those that goals are beside. The other columns are there to be seen.
const RIVALS: &[&str] = &[
    ARRAY_QUEUE,
    CONCURRENT_QUEUE,
    CROSSBEAM,
    FLUME,
    KANAL,
    ASYNC_CHANNEL,
    HEAPLESS,
    GIL_MPMC,
    CROSSFIRE,
    RAPIDFIRE,
];

/// heapless' queue may come to a standstill; after so long it counts as livelocked.
const LIVELOCK: Duration = Duration::from_secs(2);

const SHAPES: [Shape; 4] = [
    Shape { senders: 1, receivers: 1 },
    Shape { senders: 2, receivers: 2 },
    Shape { senders: 4, receivers: 1 },
    Shape { senders: 4, receivers: 4 },
];

pub(super) fn jobs(options: &Options, cores: &Cores) -> Vec<Job> {
    let mut jobs = Vec::new();
    if options.wants("mpmc") {
        for shape in SHAPES {
            let sweep = if shape.is_pair() { cores.sweep() } else { SHARED.to_vec() };
            jobs.extend(sweep.into_iter().map(|wait| many(options, cores, shape, wait)));
        }
    }
    if options.wants("fairness") {
        jobs.extend(SHAPES.map(|shape| Job::Fairness(Fairness::new(shape, cores))));
    }
    jobs
}

fn many(options: &Options, cores: &Cores, shape: Shape, wait: WaitStrategy) -> Job {
    let columns: Vec<Box<dyn Column>> = columns!(column => column;
        Crowd::of(ours::ends(ONE_BY_ONE), shape, wait, cores),
        Crowd::of(ours::ends(BATCHES), shape, wait, cores).in_batches(),
        Crowd::of(queues::array_queue(), shape, wait, cores),
        Crowd::of(queues::concurrent_queue(), shape, wait, cores),
        Crowd::of(channels::crossbeam(), shape, wait, cores),
        Crowd::of(channels::flume(), shape, wait, cores),
        Crowd::of(channels::kanal(), shape, wait, cores),
        Crowd::of(channels::async_channel(), shape, wait, cores),
        Crowd::of(channels::crossfire(), shape, wait, cores),
        Crowd::of(channels::rapidfire(), shape, wait, cores),
        Crowd::of(gil::many(), shape, wait, cores),
        Crowd::with(GIL_SHARDED, gil::sharded(shape.senders, shape.receivers), wait, cores),
        Crowd::of(queues::thingbuf(), shape, wait, cores),
        Crowd::of(queues::heapless(), shape, wait, cores).livelocks_after(LIVELOCK),
    );
    Job::Contest(Contest {
        key: "mpmc",
        point: Some(point(shape, wait)),
        row: rows::MPMC,
        title: format!("{shape}, 8 bytes, on two cores in turn, waiting: {wait}"),
        timed: "from the first send to the last receive, with sums",
        operations: options.operations(64_000, 3_200).next_multiple_of(4),
        columns,
        pairs: vec![
            Pair::new(ONE_BY_ONE, ARRAY_QUEUE).within(1.0),
            Pair::new(ONE_BY_ONE, CONCURRENT_QUEUE).within(1.0),
            Pair::new(ONE_BY_ONE, GIL_MPMC).within(1.5),
            Pair::best(ONE_BY_ONE, RIVALS),
            Pair::best(BATCHES, RIVALS).within(0.5),
        ],
    })
}

/// Whether every thread gets its share of our rings.
pub(crate) struct Fairness {
    shape: Shape,
    columns: Vec<Box<dyn Watched>>,
}

/// How each thread of it waits.
const WAIT: WaitStrategy = WaitStrategy::Mixed;
/// The part of its fair share that a thread has to get.
const LEAST: f64 = 0.25;

impl Fairness {
    fn new(shape: Shape, cores: &Cores) -> Fairness {
        let columns: Vec<Box<dyn Watched>> = columns!(column => column;
            Crowd::of(ours::ends(ONE_BY_ONE), shape, WAIT, cores),
            Crowd::of(ours::ends(BATCHES), shape, WAIT, cores).in_batches(),
            // No goal: it shows what the machine gives to threads at all.
            Crowd::of(queues::array_queue(), shape, WAIT, cores),
        );
        Fairness { shape, columns }
    }

    pub(super) fn measure(mut self, options: &Options) -> Result<FairnessTable, Mismatch> {
        self.columns.retain(|column| options.wants_column(column.name()));
        let (window, windows) = match options.quick {
            true => (Duration::from_millis(10), 2),
            false => (Duration::from_secs(1), 2),
        };
        let shares = self.columns.iter_mut().map(|column| {
            let least = column.watch(window, windows)?;
            let fair = least.senders >= LEAST && least.receivers >= LEAST;
            Ok(Share {
                name: column.name(),
                throughput: least.throughput / 1e6,
                senders: least.senders,
                receivers: least.receivers,
                least: LEAST,
                verdict: (!options.quick && column.name() != ARRAY_QUEUE)
                    .then(|| Verdict::of(fair)),
            })
        });
        Ok(FairnessTable {
            shares: shares.collect::<Result<_, Mismatch>>()?,
            point: point(self.shape, WAIT),
            title: format!("{}, 8 bytes, on two cores in turn, waiting: {WAIT}", self.shape),
            row: rows::MPMC,
            window: window.as_millis(),
            windows,
        })
    }
}

fn point(shape: Shape, wait: WaitStrategy) -> String {
    format!("{}-{}-{}", shape.senders, shape.receivers, wait.slug())
}
