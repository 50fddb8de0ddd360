//! One publisher and many readers on one thread: what publishing costs, and what it costs until all have read.

use crate::affinity::Cores;
use crate::ends::{Bare, Pop, Push};
use crate::goals::{Pair, rows};
use crate::harness::{Column, Contest};
use crate::loops::one_thread::{BATCH, Fan, Timed};
use crate::options::Options;
use crate::ours::broadcast as ring;
use crate::rivals::{broadcast as rivals, photon_ring as photon};
use crate::tables::Job;

/// So many readers.
const READERS: [usize; 4] = [1, 4, 16, 64];

/// The names of a column by the number of its readers.
macro_rules! to {
    ($name:literal) => {
        [
            concat!($name, " to 1"),
            concat!($name, " to 4"),
            concat!($name, " to 16"),
            concat!($name, " to 64"),
        ]
    };
}

const OURS: [&str; 4] = to!("our broadcast");
const TOKIO: [&str; 4] = to!("tokio broadcast");
const ASYNC_BROADCAST: [&str; 4] = to!("async-broadcast");
const DISRUPTOR: [&str; 4] = to!("disruptor");
const PHOTON: [&str; 4] = to!("photon-ring, waits");
const PHOTON_LOSSY: [&str; 4] = to!("photon-ring, lossy");
const RTRB: [&str; 4] = to!("rtrb each");

pub(super) fn jobs(options: &Options, _cores: &Cores) -> Vec<Job> {
    let mut jobs = Vec::new();
    if options.wants("publish") {
        jobs.push(publish(options));
    }
    if options.wants("publish-read") {
        jobs.push(publish_and_read(options));
    }
    jobs
}

fn publish(options: &Options) -> Job {
    let [to_one, .., to_most] = OURS;
    let mut pairs = vec![Pair::new(to_most, to_one).within(1.25)];
    for (ours, tokio) in OURS.into_iter().zip(TOKIO) {
        pairs.push(Pair::new(ours, tokio).within(0.4));
    }
    Job::Contest(Contest {
        key: "publish",
        point: None,
        row: rows::BROADCAST,
        title: "one thread, 56 bytes to many readers, the publisher's cost".into(),
        timed: "512 sends; everybody receives them between the timed parts",
        operations: options.operations(4 * BATCH, BATCH).next_multiple_of(BATCH),
        columns: columns(Timed::Sending),
        pairs,
    })
}

fn publish_and_read(options: &Options) -> Job {
    let beside = |rivals: [&'static str; 4]| OURS.into_iter().zip(rivals);
    let mut pairs: Vec<Pair> =
        beside(TOKIO).map(|(ours, tokio)| Pair::new(ours, tokio).at_least(7.0)).collect();
    pairs.extend(beside(PHOTON).map(|(ours, photon)| Pair::new(ours, photon).within(1.0)));
    pairs.extend(beside(PHOTON_LOSSY).map(|(ours, photon)| Pair::new(ours, photon)));
    pairs
        .extend(beside(DISRUPTOR).map(|(ours, disruptor)| Pair::new(ours, disruptor).throughput()));
    Job::Contest(Contest {
        key: "publish-read",
        point: None,
        row: rows::BROADCAST,
        title: "one thread, 56 bytes to many readers, published and read by all".into(),
        timed: "512 sends, and 512 receives with sums by everybody",
        operations: options.operations(2 * BATCH, BATCH).next_multiple_of(BATCH),
        columns: columns(Timed::SendingAndReceiving),
        pairs,
    })
}

fn columns(timed: Timed) -> Vec<Box<dyn Column>> {
    let mut columns: Vec<Box<dyn Column>> = Vec::new();
    for (index, readers) in READERS.into_iter().enumerate() {
        columns.push(column(OURS[index], timed, ring::many(readers)));
        columns.push(column(TOKIO[index], timed, rivals::tokio(readers)));
        columns.push(column(ASYNC_BROADCAST[index], timed, rivals::async_broadcast(readers)));
        columns.push(column(DISRUPTOR[index], timed, rivals::disruptor(readers)));
        columns.push(column(PHOTON[index], timed, photon::waiting(readers)));
        columns.push(column(PHOTON_LOSSY[index], timed, photon::lossy(readers)));
        columns.push(column(RTRB[index], timed, rivals::rtrb_each(readers)));
    }
    columns
}

fn column<P, Q>(
    name: &'static str,
    timed: Timed,
    (sender, receivers): (P, Vec<Q>),
) -> Box<dyn Column>
where
    P: Push<Item = <Q as Pop>::Item> + 'static,
    Q: Pop + 'static,
{
    let receivers = receivers.into_iter().map(Bare::new).collect();
    Box::new(Fan::new(name, timed, (Bare::new(sender), receivers)))
}
