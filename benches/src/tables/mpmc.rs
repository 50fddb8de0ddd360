//! Many senders and many receivers of one queue: throughput, and the share of each sender.

use crate::ends::columns;
use crate::goals::Pair;
use crate::harness::Contest;
use crate::loops::crowd::{Crowd, Shape};
use crate::loops::turns::{Place, SENDERS, WINDOWS, shares};
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::ours::channels;
use crate::ours::rings::{MPMC, MPMC_BATCHES, mpmc};
#[cfg(feature = "rivals")]
use crate::rivals::many;
use crate::rivals::{ARRAY_QUEUE, CONCURRENT_QUEUE, CROSSBEAM, GIL_MPMC, KANAL, RAPIDFIRE, tasks};
use crate::wait::{Idle, SHARED};

const RIVALS: &[&str] = &[ARRAY_QUEUE, CONCURRENT_QUEUE, CROSSBEAM, KANAL, GIL_MPMC, RAPIDFIRE];

/// Items in a batch.
const BATCH: usize = 16;
const ROW: &str = "mpmc: one by one, batches of 16, fairness";

const SHAPES: [Shape; 4] = [
    Shape { senders: 1, receivers: 1 },
    Shape { senders: 2, receivers: 2 },
    Shape { senders: 4, receivers: 1 },
    Shape { senders: 4, receivers: 4 },
];

/// The least share of a task that waits for room in a full channel. Threads that spin on a ring have
/// no turn: which of them runs, the system decides.
pub(super) fn fairness(options: &Options, cores: &Cores) -> [Contest; 2] {
    /// The part of an equal share that each sender has to get.
    const LEAST: Option<f64> = Some(0.25);
    let window = if options.quick { 4_096 } else { 400_000 };
    let points = [
        ("one-thread", "one thread of tokio", Place::One),
        ("two-workers", "two workers of tokio", Place::Workers(cores.clone())),
    ];
    points.map(|(point, threads, place)| {
        let title = format!(
            "{SENDERS} tasks send to one through a full channel, 8 bytes, on {threads}; \
             {} windows of {window} items",
            WINDOWS - 1
        );
        Contest {
            counts: true,
            columns: columns!(ends => ends;
                shares(channels::several, &place, window, LEAST),
                shares(channels::mailbox, &place, window, LEAST),
                shares(tasks::tokio_mpsc, &place, window, None);
                rivals:
                shares(tasks::async_channel, &place, window, None),
                shares(tasks::kanal, &place, window, None),
            ),
            ..Contest::new("fairness", ROW, title).at(format!("4-1-{point}"))
        }
    })
}

pub(super) fn throughput(options: &Options, cores: &Cores) -> impl Iterator<Item = Contest> {
    let points = SHAPES.into_iter().flat_map(move |shape| {
        // Two threads can have a core each.
        let idle = if shape.senders == 1 { cores.sweep() } else { SHARED.to_vec() };
        idle.into_iter().map(move |idle| (shape, idle))
    });
    points.map(move |(shape, idle)| at(options, cores, shape, idle))
}

fn at(options: &Options, cores: &Cores, shape: Shape, idle: Idle) -> Contest {
    let title = format!("{shape}, 8 bytes, alternating over two cores, waiting: {idle}");
    let point = format!("{}-{}-{}", shape.senders, shape.receivers, idle.slug());
    Contest {
        timed: "from the first send to the last receive, with checksums",
        operations: options.operations(64_000, 3_200).next_multiple_of(4),
        columns: columns!(ends => ends;
            Crowd::<_, _, 1>::of(mpmc(MPMC), shape, idle, cores).throughput(),
            Crowd::<_, _, BATCH>::of(mpmc(MPMC_BATCHES), shape, idle, cores).throughput();
            rivals:
            Crowd::<_, _, 1>::of(many::array_queue(), shape, idle, cores).throughput(),
            Crowd::<_, _, 1>::of(many::concurrent_queue(), shape, idle, cores).throughput(),
            Crowd::<_, _, 1>::of(many::crossbeam(), shape, idle, cores).throughput(),
            Crowd::<_, _, 1>::of(many::kanal(), shape, idle, cores).throughput(),
            Crowd::<_, _, 1>::of(many::rapidfire(), shape, idle, cores).throughput(),
            Crowd::<_, _, 1>::of(many::gil_mpmc(), shape, idle, cores).throughput(),
        ),
        pairs: vec![
            Pair::new(MPMC, ARRAY_QUEUE).within(1.0),
            Pair::new(MPMC, CONCURRENT_QUEUE).within(1.0),
            Pair::new(MPMC, GIL_MPMC).within(1.5),
            Pair::best(MPMC, RIVALS),
            Pair::best(MPMC_BATCHES, RIVALS).within(0.5),
        ],
        ..Contest::new("mpmc", ROW, title).at(point)
    }
}
