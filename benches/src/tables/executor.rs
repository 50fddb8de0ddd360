//! Services on executors: to a handler on one thread, wakes from one thread to another, jitter, and a node that idles.

use std::marker::PhantomData;

use mycelium::WaitStrategy;

use crate::affinity::Cores;
use crate::goals::{Pair, rows};
use crate::harness::{Column, Contest};
use crate::loops::counts::{Counted, Counts};
use crate::loops::executor::handler::{
    self, Channel, KAMEO, Kameo, LOCAL_CHANNEL, LocalChannel, RACTOR, Ractors,
};
use crate::loops::executor::host::{Host, OnGlommio, OnSmol, OnTokio};
use crate::loops::executor::idle::Idle;
use crate::loops::executor::jitter::Jitter;
use crate::loops::executor::wake::{self, Eventfd, Futex, Pinned, Threads};
use crate::loops::latency::{Latencies, Median, Timed};
use crate::loops::trip::Trip;
use crate::options::Options;
use crate::rivals::channels::{ASYNC_CHANNEL, TOKIO_MPSC};
use crate::rivals::raw::{self, RAW};
use crate::rivals::tasks as rivals;
use crate::tables::Job;
use crate::wait::WaitStrategy as Pauses;

const ON_TOKIO: &str = "service on tokio";
const ON_SMOL: &str = "service on smol";
const ON_GLOMMIO: &str = "service on glommio";

pub(super) fn jobs(options: &Options, cores: &Cores) -> Vec<Job> {
    let mut jobs = Vec::new();
    let asked = ["handler", "wake", "pinned", "jitter", "idle"].map(|key| options.wants(key));
    if !asked.contains(&true) {
        return jobs;
    }
    let [handler, wake, pinned, jitter, idle] = asked;
    // Where the machine lacks what it needs, its columns are absent.
    let glommio = OnGlommio::runs();
    if handler {
        jobs.extend([false, true].map(|parked| to_handler(options, parked, glommio)));
    }
    if wake {
        jobs.extend(across(options, cores, glommio));
    }
    if pinned {
        jobs.extend(both_pinned(options, cores));
    }
    if jitter {
        jobs.push(late(options, cores));
    }
    if idle {
        jobs.push(idling(options, glommio));
    }
    jobs
}

fn to_handler(options: &Options, parked: bool, glommio: bool) -> Job {
    fn service<H: Host>(name: &'static str, parked: bool) -> Box<dyn Column> {
        Box::new(handler::Services::<H> { name, parked, host: PhantomData })
    }
    let mut columns: Vec<Box<dyn Column>> = vec![
        service::<OnTokio>(ON_TOKIO, parked),
        service::<OnSmol>(ON_SMOL, parked),
        Box::new(Channel { ends: rivals::tokio_mpsc, parked, host: PhantomData::<OnTokio> }),
        Box::new(Ractors { parked }),
        Box::new(Kameo { parked }),
        Box::new(Channel { ends: rivals::async_channel, parked, host: PhantomData::<OnSmol> }),
    ];
    if glommio {
        columns.push(service::<OnGlommio>(ON_GLOMMIO, parked));
        columns.push(Box::new(LocalChannel { parked }));
    }
    Job::Contest(Contest {
        key: "handler",
        point: Some(if parked { "parked" } else { "busy" }.into()),
        row: rows::HANDLER,
        title: if parked {
            "8 bytes to a sleeping handler on the same thread and back".into()
        } else {
            "8 bytes to a handler on the same thread, one after the other".into()
        },
        timed: "from the first send until the last was handled, on one thread",
        operations: options.operations(if parked { 4_000 } else { 100_000 }, 500),
        columns,
        pairs: vec![
            Pair::new(ON_TOKIO, TOKIO_MPSC).within(if parked { 0.7 } else { 0.4 }),
            Pair::new(ON_TOKIO, RACTOR),
            Pair::new(ON_TOKIO, KAMEO),
            Pair::new(ON_GLOMMIO, LOCAL_CHANNEL).within(0.9),
            Pair::new(ON_SMOL, ASYNC_CHANNEL).within(0.7),
        ],
    })
}

const EVENTFD: &str = "eventfd";

/// Pairs of executors, in both directions at once: there and back are two wakes.
const PAIRS: [&str; 6] = [
    "tokio and tokio",
    "tokio and smol",
    "smol and smol",
    "tokio and glommio",
    "smol and glommio",
    "glommio and glommio",
];

fn pairs(cores: &Cores, wait: WaitStrategy, glommio: bool) -> Vec<Box<dyn Timed>> {
    fn pair<A: Host, B: Host>(
        name: &'static str,
        wait: WaitStrategy,
        cores: &Cores,
    ) -> Box<dyn Timed> {
        Box::new(wake::Services::<A, B> { name, wait, cores: cores.clone(), hosts: PhantomData })
    }
    let [first, second, third, ..] = PAIRS;
    let mut columns = vec![
        pair::<OnTokio, OnTokio>(first, wait, cores),
        pair::<OnTokio, OnSmol>(second, wait, cores),
        pair::<OnSmol, OnSmol>(third, wait, cores),
    ];
    if glommio {
        let [.., fourth, fifth, sixth] = PAIRS;
        columns.push(pair::<OnTokio, OnGlommio>(fourth, wait, cores));
        columns.push(pair::<OnSmol, OnGlommio>(fifth, wait, cores));
        columns.push(pair::<OnGlommio, OnGlommio>(sixth, wait, cores));
    }
    columns
}

fn parked(cores: &Cores, glommio: bool) -> Vec<Box<dyn Timed>> {
    let mut columns = pairs(cores, WaitStrategy::Park, glommio);
    let of = || cores.clone();
    columns.push(Box::new(Threads::<Eventfd> { name: EVENTFD, cores: of(), by: PhantomData }));
    columns.push(Box::new(Threads::<Futex> { name: "futex", cores: of(), by: PhantomData }));
    columns.push(Box::new(wake::Channel {
        name: "tokio mpsc, tokio and tokio",
        ends: rivals::tokio_mpsc,
        cores: of(),
        hosts: PhantomData::<(OnTokio, OnTokio)>,
    }));
    columns.push(Box::new(wake::Channel {
        name: "async-channel, smol and smol",
        ends: rivals::async_channel,
        cores: of(),
        hosts: PhantomData::<(OnSmol, OnSmol)>,
    }));
    if glommio {
        columns.push(Box::new(wake::Channel {
            name: "async-channel, glommio and glommio",
            ends: rivals::async_channel,
            cores: of(),
            hosts: PhantomData::<(OnGlommio, OnGlommio)>,
        }));
    }
    columns
}

fn spinning(cores: &Cores, glommio: bool) -> Vec<Box<dyn Timed>> {
    let mut columns = pairs(cores, WaitStrategy::Spin, glommio);
    columns.push(Box::new(Trip::new(raw::line, Pauses::Busy, cores)));
    columns
}

fn medians(columns: Vec<Box<dyn Timed>>) -> Vec<Box<dyn Column>> {
    columns.into_iter().map(|column| Box::new(Median(column)) as Box<dyn Column>).collect()
}

fn across(options: &Options, cores: &Cores, glommio: bool) -> Vec<Job> {
    type Columns = fn(&Cores, bool) -> Vec<Box<dyn Timed>>;
    let points: [(&str, Columns, &str, f64, usize); 2] =
        [("parked", parked, EVENTFD, 1.15, 300), ("spinning", spinning, RAW, 1.3, 4_000)];
    let mut jobs = Vec::new();
    for (point, columns, rival, most, trips) in points {
        let title = format!("8 bytes to a service on another executor, {point}, and back");
        let operations = options.operations(trips, 100);
        jobs.push(Job::Contest(Contest {
            key: "wake",
            point: Some(point.into()),
            row: rows::WAKES,
            title: title.clone(),
            timed: "each trip, two wakes; the figure of a round is its median",
            operations,
            columns: medians(columns(cores, glommio)),
            pairs: PAIRS.map(|pair| Pair::new(pair, rival).within(most)).into(),
        }));
        let columns = columns(cores, glommio);
        jobs.push(Job::Latencies(Latencies { key: "wake", point, title, operations, columns }));
    }
    jobs
}

const PINNED: &str = "pinned services";

fn both_pinned(options: &Options, cores: &Cores) -> [Job; 2] {
    let columns = || -> Vec<Box<dyn Timed>> {
        vec![
            Box::new(Pinned { name: PINNED, cores: cores.clone() }),
            Box::new(Trip::new(raw::line, Pauses::Busy, cores)),
        ]
    };
    let title = "8 bytes between two services that are pinned and never sleep, and back";
    let operations = options.operations(4_000, 100);
    [
        Job::Contest(Contest {
            key: "pinned",
            point: None,
            row: rows::PINNED,
            title: title.into(),
            timed: "each trip; the figure of a round is its median",
            operations,
            columns: medians(columns()),
            pairs: vec![Pair::new(PINNED, RAW).within(1.15)],
        }),
        Job::Latencies(Latencies {
            key: "pinned",
            point: "trips",
            title: title.into(),
            operations,
            columns: columns(),
        }),
    ]
}

fn late(options: &Options, cores: &Cores) -> Job {
    let jitter = |name, pinned| -> Box<dyn Timed> {
        Box::new(Jitter { name, pinned, cores: cores.clone() })
    };
    Job::Latencies(Latencies {
        key: "jitter",
        point: "late",
        title: "how late a service that never sleeps is by its own clock, others on the other core"
            .into(),
        operations: options.operations(10_000, 100),
        columns: vec![jitter("pinned", true), jitter("not pinned", false)],
    })
}

fn idling(options: &Options, glommio: bool) -> Job {
    let mut columns: Vec<Box<dyn Counted>> = vec![
        Box::new(Idle { name: "idle on tokio", host: PhantomData::<OnTokio> }),
        Box::new(Idle { name: "idle on smol", host: PhantomData::<OnSmol> }),
    ];
    if glommio {
        columns.push(Box::new(Idle { name: "idle on glommio", host: PhantomData::<OnGlommio> }));
    }
    Job::Counts(Counts {
        key: "idle",
        point: "node",
        row: rows::IDLE,
        title: "a node whose services wait, over ten seconds in as many parts as there are rounds"
            .into(),
        operations: options.operations(10_000 / options.rounds(), 20),
        columns,
    })
}
