//! Waking: a number to a sleeping task and back, both tasks in one runtime of one thread.

use crate::affinity::Cores;
use crate::ends::columns;
use crate::goals::{Pair, rows};
use crate::harness::Contest;
use crate::loops::tasks::Parked;
use crate::options::Options;
use crate::ours::channel::{self as ours, INDEX, MPMC, STAMPED};
use crate::rivals::channels::{ASYNC_CHANNEL, FLUME, KANAL, TOKIO_MPSC};
use crate::rivals::tasks as rivals;
use crate::tables::Job;

/// Those that ratios are beside.
const RIVALS: &[&str] = &[TOKIO_MPSC, ASYNC_CHANNEL, FLUME];

pub(super) fn jobs(options: &Options, _cores: &Cores) -> Vec<Job> {
    if !options.wants("tasks") {
        return Vec::new();
    }
    vec![Job::Contest(Contest {
        key: "tasks",
        point: None,
        row: rows::TASKS,
        title: "two tasks of a current_thread runtime, 8 bytes to a sleeping task and back".into(),
        timed: "all trips of a round; one operation is there and back, with two wakes",
        operations: options.operations(4_000, 500),
        columns: columns!(ends => Parked::new(ends);
            ours::stamped,
            ours::spsc,
            ours::mpmc,
            rivals::tokio_mpsc,
            rivals::async_channel,
            rivals::flume,
            rivals::kanal,
            rivals::crossfire,
            rivals::rapidfire,
        ),
        pairs: vec![
            Pair::new(STAMPED, TOKIO_MPSC).within(0.5),
            Pair::best(STAMPED, RIVALS),
            Pair::new(STAMPED, KANAL),
            Pair::best(INDEX, RIVALS),
            Pair::best(MPMC, RIVALS),
        ],
    })]
}
