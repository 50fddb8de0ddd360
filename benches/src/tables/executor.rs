//! Services on executors: to a handler on one thread, requests, wakes of another thread, and idle
//! ones.

use mycelium::WaitStrategy;

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Column, Contest, Sweep};
use crate::loops::executor::handler;
use crate::loops::executor::host::{OnGlommio, OnSmol, OnTokio};
use crate::loops::executor::idle::idle;
use crate::loops::executor::request::{self, MPSC_ONESHOT};
use crate::loops::executor::wake;
use crate::loops::trip;
use crate::options::Options;
use crate::rivals::raw::{RAW, raw};
use crate::rivals::{ASYNC_CHANNEL, TOKIO_MPSC, tasks as rivals};
use crate::tables::rows;
use crate::wait::Idle;

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let mut contests = Vec::new();
    if !["handler", "request", "wake", "pinned", "idle"].iter().any(|key| options.wants(key)) {
        return Vec::new();
    }
    // On machines that do not support glommio, its columns are absent.
    let glommio = OnGlommio::runs();
    if options.wants("handler") {
        contests.extend([false, true].map(|parked| to_handler(options, parked, glommio)));
    }
    if options.wants("request") {
        contests.extend([1, 16].map(|open| requested(options, open, glommio)));
    }
    if options.wants("wake") {
        contests.push(woken(options, cores, glommio));
        contests.push(spinning(options, cores, glommio));
    }
    if options.wants("pinned") {
        contests.push(pinned(options, cores));
    }
    if options.wants("idle") {
        let mut columns = vec![idle::<OnTokio>("idle on tokio"), idle::<OnSmol>("idle on smol")];
        columns.extend(glommio.then(|| idle::<OnGlommio>("idle on glommio")));
        let operations = options.operations(10_000, 20);
        let title = format!("a node whose services wait, for {operations} milliseconds");
        let contest = Contest::new("idle", rows::IDLE, title).at("node");
        contests.push(Contest { counts: true, operations, columns, ..contest });
    }
    contests.into_iter().map(Sweep::from).collect()
}

fn to_handler(options: &Options, parked: bool, glommio: bool) -> Contest {
    const ON_TOKIO: &str = "service on tokio";
    const ON_SMOL: &str = "service on smol";
    const ON_GLOMMIO: &str = "service on glommio";
    let mut columns = vec![
        handler::services::<OnTokio>(ON_TOKIO, parked),
        handler::services::<OnSmol>(ON_SMOL, parked),
        handler::channel::<OnTokio, _, _>(rivals::tokio_mpsc, parked),
        #[cfg(feature = "rivals")]
        handler::channel::<OnSmol, _, _>(rivals::async_channel, parked),
    ];
    if glommio {
        columns.push(handler::services::<OnGlommio>(ON_GLOMMIO, parked));
    }
    let (point, title, limit, operations) = match parked {
        true => ("parked", "8 bytes to a sleeping handler on the same thread and back", 0.7, 4_000),
        false => {
            ("busy", "8 bytes to a handler on the same thread, one after the other", 0.4, 100_000)
        }
    };
    Contest {
        timed: "from the first send to the last handled message, on one thread",
        operations: options.operations(operations, 500),
        columns,
        pairs: vec![
            Pair::new(ON_TOKIO, TOKIO_MPSC).within(limit),
            Pair::new(ON_SMOL, ASYNC_CHANNEL).within(0.7),
        ],
        ..Contest::new("handler", rows::HANDLER, title).at(point)
    }
}

fn requested(options: &Options, open: usize, glommio: bool) -> Contest {
    const ON_TOKIO: &str = "services on tokio";
    const ON_SMOL: &str = "services on smol";
    const ON_GLOMMIO: &str = "services on glommio";
    let mut columns = vec![
        request::services::<OnTokio>(ON_TOKIO, open),
        request::channels(open),
        request::services::<OnSmol>(ON_SMOL, open),
    ];
    columns.extend(glommio.then(|| request::services::<OnGlommio>(ON_GLOMMIO, open)));
    let (point, title) = match open {
        1 => ("one", "a number to a service on the same thread and back, one at a time"),
        _ => ("many", "the same, 16 requests open at a time"),
    };
    Contest {
        timed: "from the first request to the last reply, on one thread",
        operations: options.operations(20_000, 200),
        columns,
        pairs: vec![Pair::new(ON_TOKIO, MPSC_ONESHOT).within(1.0)],
        ..Contest::new("request", rows::REQUEST, title).at(point)
    }
}

/// Pairs of executors. A round trip is one wake in each direction.
const PAIRS: [&str; 6] = [
    "tokio and tokio",
    "tokio and smol",
    "smol and smol",
    "tokio and glommio",
    "smol and glommio",
    "glommio and glommio",
];

/// The columns of all pairs.
fn pairs(cores: &Cores, wait: WaitStrategy, glommio: bool) -> Vec<Column> {
    let [tokio, tokio_smol, smol, tokio_glommio, smol_glommio, both_glommio] = PAIRS;
    let of = || cores.clone();
    let mut columns = vec![
        wake::services::<OnTokio, OnTokio>(tokio, wait, of()),
        wake::services::<OnTokio, OnSmol>(tokio_smol, wait, of()),
        wake::services::<OnSmol, OnSmol>(smol, wait, of()),
    ];
    if glommio {
        columns.push(wake::services::<OnTokio, OnGlommio>(tokio_glommio, wait, of()));
        columns.push(wake::services::<OnSmol, OnGlommio>(smol_glommio, wait, of()));
        columns.push(wake::services::<OnGlommio, OnGlommio>(both_glommio, wait, of()));
    }
    columns
}

fn woken(options: &Options, cores: &Cores, glommio: bool) -> Contest {
    const EVENTFD: &str = "eventfd";
    let mut columns = pairs(cores, WaitStrategy::Park, glommio);
    columns.push(wake::eventfds(EVENTFD, cores.clone()));
    across(options, "parked", columns, EVENTFD, 1.15, 300)
}

fn spinning(options: &Options, cores: &Cores, glommio: bool) -> Contest {
    let mut columns = pairs(cores, WaitStrategy::Spin, glommio);
    columns.push(trip::trips(raw, Idle::Busy, cores, true));
    across(options, "spinning", columns, RAW, 1.3, 4_000)
}

fn across(
    options: &Options,
    point: &'static str,
    columns: Vec<Column>,
    rival: &'static str,
    most: f64,
    trips: usize,
) -> Contest {
    let title = format!("8 bytes to a service on another executor, {point}, and back");
    Contest {
        timed: "each trip, two wakes; the figure of a round is its median",
        operations: options.operations(trips, 100),
        columns,
        pairs: PAIRS.map(|pair| Pair::new(pair, rival).within(most)).into(),
        ..Contest::new("wake", rows::WAKES, title).at(point)
    }
}

fn pinned(options: &Options, cores: &Cores) -> Contest {
    const PINNED: &str = "pinned services";
    let title = "8 bytes between two services that are pinned and never sleep, and back";
    Contest {
        timed: "each trip; the figure of a round is its median",
        operations: options.operations(4_000, 100),
        columns: vec![
            wake::pinned(PINNED, cores.clone()),
            trip::trips(raw, Idle::Busy, cores, true),
        ],
        pairs: vec![Pair::new(PINNED, RAW).within(1.15)],
        ..Contest::new("pinned", rows::PINNED, title)
    }
}
