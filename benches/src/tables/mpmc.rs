//! Many senders and many receivers of one queue: throughput, and the share of each thread.

use std::time::Duration;

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Contest, Kind, Sweep};
use crate::loops::crowd::{Crowd, Shape, WINDOWS};
use crate::options::Options;
use crate::ours::rings::{MPMC, MPMC_BATCHES, mpmc};
use crate::rivals::many::{
    self, ARRAY_QUEUE, ASYNC_CHANNEL, CONCURRENT_QUEUE, CROSSBEAM, CROSSFIRE, FLUME, GIL_MPMC,
    GIL_SHARDED, HEAPLESS, KANAL, RAPIDFIRE,
};
use crate::tables::rows;
use crate::wait::{Idle, SHARED};

/// The rivals that count for goals. The other columns are printed only.
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

/// The time without progress after which heapless' queue counts as livelocked.
const LIVELOCK: Duration = Duration::from_secs(2);

const SHAPES: [Shape; 4] = [
    Shape { senders: 1, receivers: 1 },
    Shape { senders: 2, receivers: 2 },
    Shape { senders: 4, receivers: 1 },
    Shape { senders: 4, receivers: 4 },
];

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let mut sweeps = Vec::new();
    if options.wants("mpmc") {
        for shape in SHAPES {
            // Two threads have a core each.
            let idle = if shape.senders == 1 { cores.sweep() } else { SHARED.to_vec() };
            let contests = idle.into_iter().map(|idle| throughput(options, cores, shape, idle));
            sweeps.extend(contests.map(Sweep::from));
        }
    }
    if options.wants("fairness") {
        sweeps.extend(SHAPES.map(|shape| fairness(options, cores, shape).into()));
    }
    sweeps
}

fn contest(key: &'static str, shape: Shape, idle: Idle, more: &str) -> Contest {
    let title = format!("{shape}, 8 bytes, alternating over two cores, waiting: {idle}{more}");
    let point = format!("{}-{}-{}", shape.senders, shape.receivers, idle.slug());
    Contest::new(key, rows::MPMC, title).at(point)
}

fn throughput(options: &Options, cores: &Cores, shape: Shape, idle: Idle) -> Contest {
    let gil_sharded = many::gil_sharded(shape.senders, shape.receivers);
    Contest {
        timed: "from the first send to the last receive, with checksums",
        operations: options.operations(64_000, 3_200).next_multiple_of(4),
        columns: vec![
            Crowd::of(mpmc(MPMC), shape, idle, cores).throughput(),
            Crowd::of(mpmc(MPMC_BATCHES), shape, idle, cores).in_batches().throughput(),
            Crowd::of(many::array_queue(), shape, idle, cores).throughput(),
            Crowd::of(many::concurrent_queue(), shape, idle, cores).throughput(),
            Crowd::of(many::crossbeam(), shape, idle, cores).throughput(),
            Crowd::of(many::flume(), shape, idle, cores).throughput(),
            Crowd::of(many::kanal(), shape, idle, cores).throughput(),
            Crowd::of(many::async_channel(), shape, idle, cores).throughput(),
            Crowd::of(many::crossfire(), shape, idle, cores).throughput(),
            Crowd::of(many::rapidfire(), shape, idle, cores).throughput(),
            Crowd::of(many::gil_mpmc(), shape, idle, cores).throughput(),
            Crowd::with(GIL_SHARDED, gil_sharded, idle, cores).throughput(),
            Crowd::of(many::thingbuf(), shape, idle, cores).throughput(),
            Crowd::of(many::heapless(), shape, idle, cores).livelocks_after(LIVELOCK).throughput(),
        ],
        pairs: vec![
            Pair::new(MPMC, ARRAY_QUEUE).within(1.0),
            Pair::new(MPMC, CONCURRENT_QUEUE).within(1.0),
            Pair::new(MPMC, GIL_MPMC).within(1.5),
            Pair::best(MPMC, RIVALS),
            Pair::best(MPMC_BATCHES, RIVALS).within(0.5),
        ],
        ..contest("mpmc", shape, idle, "")
    }
}

fn fairness(options: &Options, cores: &Cores, shape: Shape) -> Contest {
    /// The part of an equal share that each thread has to get.
    const LEAST: Option<f64> = Some(0.25);
    let idle = Idle::Mixed;
    let window = Duration::from_millis(if options.quick { 10 } else { 1_000 });
    let more = format!("; {WINDOWS} windows of {} ms", window.as_millis());
    Contest {
        kind: Kind::CountsOnce,
        columns: vec![
            Crowd::of(mpmc(MPMC), shape, idle, cores).shares(window, LEAST),
            Crowd::of(mpmc(MPMC_BATCHES), shape, idle, cores).in_batches().shares(window, LEAST),
            // Without a goal: shows what the system's scheduler gives to threads.
            Crowd::of(many::array_queue(), shape, idle, cores).shares(window, None),
        ],
        ..contest("fairness", shape, idle, &more)
    }
}
