//! Services on executors: messages to a handler on one thread, requests, wakes of another thread,
//! and services without work; and tasks that await each other's channels.

use mycelium::execution::WaitStrategy;

use crate::ends::columns;
use crate::goals::Pair;
use crate::harness::{Column, Contest};
use crate::loops::actors::{Library, Place as Threads, asked};
use crate::loops::executor::handler::{channel, services};
use crate::loops::executor::host::Runtime;
use crate::loops::executor::{idle as idling, request as requesting, wake as waking};
use crate::loops::shm::{asleep::eventfds, nodes::Place};
use crate::loops::trip;
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::ours::channels;
use crate::raw::{RAW, raw};
use crate::rivals::actors::ChannelAndOneshot;
use crate::rivals::{ASYNC_CHANNEL, TOKIO_MPSC, tasks as rivals};
use crate::wait::Idle;

/// The name of our column on an executor.
fn on(runtime: Runtime) -> &'static str {
    ["services on tokio", "services on smol", "services on glommio"][runtime as usize]
}

/// Measures a number to a sleeping task and back, both tasks in one runtime of one thread.
pub(super) fn tasks(options: &Options) -> Contest {
    let title = "two tasks of a current_thread runtime, 8 bytes to a sleeping task and back";
    Contest {
        timed: "all trips of a round; one operation is there and back, with two wakes",
        operations: options.operations(4_000, 500),
        columns: columns!(ends => channel(ends, Runtime::Tokio, true);
            channels::stamped,
            rivals::tokio_mpsc;
            rivals:
            rivals::async_channel,
        ),
        pairs: vec![
            Pair::new(channels::STAMPED, TOKIO_MPSC).within(0.5),
            Pair::new(channels::STAMPED, ASYNC_CHANNEL),
        ],
        ..Contest::new("tasks", "to a parked task and back", title)
    }
}

pub(super) fn handler(options: &Options) -> [Contest; 2] {
    let busy = "8 bytes to a handler on the same thread, one after the other";
    let parked = "8 bytes to a sleeping handler on the same thread and back";
    let points = [("busy", busy, 0.55, 100_000), ("parked", parked, 0.9, 40_000)];
    points.map(|(point, title, limit, operations)| {
        let parked = point == "parked";
        let ours = Runtime::all().into_iter().map(|runtime| services(on(runtime), runtime, parked));
        let rivals = [
            channel(rivals::tokio_mpsc, Runtime::Tokio, parked),
            #[cfg(feature = "rivals")]
            channel(rivals::async_channel, Runtime::Smol, parked),
        ];
        Contest {
            timed: "from the first send to the last handled message, on one thread",
            operations: options.operations(operations, 500),
            columns: ours.chain(rivals).collect(),
            pairs: vec![
                Pair::new(on(Runtime::Tokio), TOKIO_MPSC).within(limit),
                Pair::new(on(Runtime::Smol), ASYNC_CHANNEL).within(limit),
            ],
            ..Contest::new("handler", "to a service's handler", title).at(point)
        }
    })
}

pub(super) fn request(options: &Options) -> [Contest; 2] {
    let points = [
        ("one", 1, "a number to a service on the same thread and back, one at a time", 0.95),
        ("many", 16, "the same, 16 requests open at a time", 0.7),
    ];
    points.map(|(point, open, title, most)| {
        let ours = Runtime::all().into_iter();
        let ours = ours.map(|runtime| requesting::services(on(runtime), runtime, open));
        Contest {
            timed: "from the first request to the last reply, on one thread",
            operations: options.operations(20_000, 200),
            columns: ours.chain([asked::<ChannelAndOneshot>(Threads::One, open)]).collect(),
            pairs: vec![Pair::new(on(Runtime::Tokio), ChannelAndOneshot::NAME).within(most)],
            ..Contest::new("request", "request and reply", title).at(point)
        }
    })
}

/// Pairs of executors. A round trip is one wake in each direction.
const PAIRS: [(&str, [Runtime; 2]); 6] = [
    ("tokio and tokio", [Runtime::Tokio, Runtime::Tokio]),
    ("tokio and smol", [Runtime::Tokio, Runtime::Smol]),
    ("smol and smol", [Runtime::Smol, Runtime::Smol]),
    ("tokio and glommio", [Runtime::Tokio, Runtime::Glommio]),
    ("smol and glommio", [Runtime::Smol, Runtime::Glommio]),
    ("glommio and glommio", [Runtime::Glommio, Runtime::Glommio]),
];

pub(super) fn wake(options: &Options, cores: &Cores) -> [Contest; 2] {
    const EVENTFD: &str = "eventfd";
    let across = |point, wait, rival: Column, goal: fn(Pair) -> Pair, trips| {
        let name = rival.name;
        // On machines that do not support glommio, its columns are absent.
        let all = Runtime::all();
        let pairs = PAIRS.into_iter().filter(|(_, pair)| pair.iter().all(|one| all.contains(one)));
        let ours = pairs.map(|(name, pair)| waking::services(name, pair, wait, cores.clone()));
        let title = format!("8 bytes to a service on another executor, {point}, and back");
        Contest {
            timed: "each trip, two wakes; the figure of a round is its median",
            operations: options.operations(trips, 100),
            columns: ours.chain([rival]).collect(),
            pairs: PAIRS.map(|(pair, _)| goal(Pair::new(pair, name))).into(),
            ..Contest::new("wake", "wake of a service on another executor", title).at(point)
        }
    };
    let eventfd = eventfds(EVENTFD, Place::Thread, cores);
    let raw = trip::trips(raw, Idle::Busy, cores, true);
    [
        across("parked", WaitStrategy::Park, eventfd, |pair| pair.within_at_median(1.3), 300),
        across("spinning", WaitStrategy::Spin, raw, |pair| pair.adds(100.0), 4_000),
    ]
}

pub(super) fn pinned(options: &Options, cores: &Cores) -> Contest {
    const PINNED: &str = "pinned services";
    let title = "8 bytes between two services that are pinned and never sleep, and back";
    Contest {
        timed: "each trip; the figure of a round is its median",
        operations: options.operations(4_000, 100),
        columns: vec![
            waking::pinned(PINNED, cores.clone()),
            trip::trips(raw, Idle::Busy, cores, true),
        ],
        pairs: vec![Pair::new(PINNED, RAW).adds(100.0)],
        ..Contest::new("pinned", "round trip of pinned services", title)
    }
}

pub(super) fn idle(options: &Options) -> Contest {
    let operations = options.operations(10_000, 20);
    let title = format!("a node whose services wait, for {operations} milliseconds");
    let columns = Runtime::all().into_iter().map(|runtime| idling::idle(on(runtime), runtime));
    let contest = Contest::new("idle", "idle node", title).at("node");
    Contest { counts: true, operations, columns: columns.collect(), ..contest }
}
