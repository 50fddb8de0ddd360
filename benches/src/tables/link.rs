//! Links over Unix sockets, beside what the sockets themselves allow.

use std::sync::Arc;
use std::time::Duration;

use mycelium_core::link::Batching;
use mycelium_core::{Envelope, TraceContext};
use mycelium_transports::exchange::LinkConfig;
use mycelium_transports::stream::{STREAMS, TOPICS};

use crate::affinity::Cores;
use crate::goals::{Pair, rows};
use crate::harness::{Column, Contest};
use crate::loops::counts::{Counted, Counts};
use crate::loops::latency::{Latencies, Median, Timed};
use crate::loops::link::clients::{Clients, RawClients};
use crate::loops::link::exchange::Exchange;
use crate::loops::link::load::Offered;
use crate::loops::link::spent::{Meter, Spent};
use crate::loops::link::{HEADER, Wire, one_way, trip};
use crate::loops::load::Loads;
use crate::options::Options;
use crate::sample::Sample;
use crate::tables::Job;

const LOW: &str = "link, low latency";
const BALANCED: &str = "link, balanced";
const FAST: &str = "link, high throughput";
const NODE: &str = "link of a node";
const EXCHANGE: &str = "emit to receive";
const TRACED: &str = "link with traces";
const RAW: &str = "raw 64 KiB";
const RAW_TRACED: &str = "raw 64 KiB, with traces";

/// The presets, each by its name.
const PRESETS: [(&str, Batching); 3] = [
    (LOW, Batching::LOW_LATENCY),
    (BALANCED, Batching::BALANCED),
    (FAST, Batching::HIGH_THROUGHPUT),
];

/// A message of a run on the wire, one that goes by itself, and what a trace adds to that.
const SLOT: usize = 8 + size_of::<Sample>();
const FRAME: usize = HEADER + size_of::<Sample>();
const TRACE: usize = 32;

pub(super) fn jobs(options: &Options, cores: &Cores) -> Vec<Job> {
    if !options.wants("link") {
        return Vec::new();
    }
    let wire = Wire { cores: cores.clone(), meter: None };
    let [means, times] = trips(options, &wire);
    let [spent, spent_trip] = spent(options, cores);
    vec![
        one_way(options, &wire),
        means,
        times,
        load(options, &wire),
        clients(options),
        memory(options),
        spent,
        spent_trip,
    ]
}

fn over<const T: usize, const S: usize>(
    name: &'static str,
    batching: Batching,
    envelope: Envelope,
    wire: &Wire,
) -> Box<dyn Column> {
    Box::new(one_way::OverLink::<T, S> { name, batching, envelope, wire: wire.clone() })
}

fn one_way(options: &Options, wire: &Wire) -> Job {
    let bare = Envelope::default();
    let trace = Some(TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 });
    let traced = Envelope { trace, ..bare };
    let raw =
        |name, bytes| Box::new(one_way::Raw { name, bytes, wire: wire.clone() }) as Box<dyn Column>;
    let fast = Batching::HIGH_THROUGHPUT;
    Job::Contest(Contest {
        key: "link",
        point: None,
        row: rows::LINK,
        title: "56 bytes one way over a Unix socket between two runtimes of one thread".into(),
        timed: "from the first send until all has arrived; a message is 64 bytes on the wire, with a trace 112",
        operations: options.operations(2_000_000, 2_000),
        columns: vec![
            over::<1, 1>(FAST, fast, bare, wire),
            over::<1, 1>(BALANCED, Batching::BALANCED, bare, wire),
            over::<TOPICS, STREAMS>(NODE, fast, bare, wire),
            Box::new(Exchange {
                name: EXCHANGE,
                config: LinkConfig::high_throughput(),
                wire: wire.clone(),
            }),
            over::<1, 1>(TRACED, fast, traced, wire),
            raw(RAW, SLOT),
            raw(RAW_TRACED, FRAME + TRACE),
        ],
        pairs: vec![
            Pair::new(EXCHANGE, RAW).at_least(0.65),
            Pair::new(FAST, RAW).at_least(0.85),
            Pair::new(BALANCED, RAW).throughput(),
            Pair::new(NODE, RAW).throughput(),
            Pair::new(TRACED, RAW_TRACED).throughput(),
        ],
    })
}

const RAW_TRIP: &str = "raw socket";
const CODEC: &str = "tokio-util codec";

/// The medians of the rounds, which the goal is about, and then all trips.
fn trips(options: &Options, wire: &Wire) -> [Job; 2] {
    fn columns<T: ?Sized>(
        wire: &Wire,
        link: impl Fn(trip::OverLink) -> Box<T>,
        raw: impl Fn(trip::Raw) -> Box<T>,
        codec: impl Fn(trip::LengthDelimited) -> Box<T>,
    ) -> Vec<Box<T>> {
        let wire = || wire.clone();
        let over = |name, batching| link(trip::OverLink { name, batching, wire: wire() });
        vec![
            over(LOW, Batching::LOW_LATENCY),
            over(FAST, Batching::HIGH_THROUGHPUT),
            raw(trip::Raw { name: RAW_TRIP, wire: wire() }),
            codec(trip::LengthDelimited { name: CODEC, wire: wire() }),
        ]
    }
    let title = "64 bytes there and back over a Unix socket between two runtimes of one thread";
    let operations = options.operations(1_000, 200);
    [
        Job::Contest(Contest {
            key: "link",
            point: Some("trip".into()),
            row: rows::LINK,
            title: title.into(),
            timed: "each trip, from before its send; the figure of a round is its median",
            operations,
            columns: columns::<dyn Column>(
                wire,
                |link| Box::new(Median(link)),
                |raw| Box::new(Median(raw)),
                |codec| Box::new(Median(codec)),
            ),
            pairs: vec![
                Pair::new(LOW, RAW_TRIP).within(1.1),
                Pair::new(FAST, RAW_TRIP),
                Pair::new(LOW, CODEC),
            ],
        }),
        Job::Latencies(Latencies {
            key: "link",
            point: "trip",
            title: title.into(),
            operations,
            columns: columns::<dyn Timed>(
                wire,
                |link| Box::new(link),
                |raw| Box::new(raw),
                |codec| Box::new(codec),
            ),
        }),
    ]
}

/// Messages a second.
const RATES: [u64; 9] =
    [20_000, 50_000, 100_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000];

fn load(options: &Options, wire: &Wire) -> Job {
    let wire = wire.clone();
    Job::Loads(Loads {
        key: "link",
        title: "56 bytes one way over a Unix socket, sent when they are due".into(),
        names: PRESETS.map(|(name, _)| name).into(),
        rates: RATES.into(),
        time: Duration::from_millis(if options.quick { 1 } else { 10 }),
        column: Box::new(move |name, rate| {
            let preset = PRESETS.iter().find(|(known, _)| *known == name);
            let batching = preset.map_or_else(Batching::default, |(_, batching)| *batching);
            Box::new(Offered { name, batching, rate, wire: wire.clone() })
        }),
    })
}

const CLIENT: &str = "1 client";
const MANY: &str = "1,000 clients";
const RAW_CLIENT: &str = "1 raw socket";
const RAW_MANY: &str = "1,000 raw sockets";

fn crowd(name: &'static str, count: usize) -> Clients {
    Clients { name, count, batching: Batching::BALANCED }
}

fn clients(options: &Options) -> Job {
    let crowds = [(CLIENT, 1), ("10 clients", 10), ("100 clients", 100), (MANY, 1_000)];
    let crowds = crowds.map(|(name, count)| Box::new(crowd(name, count)) as Box<dyn Column>);
    let raw = [(RAW_CLIENT, 1), (RAW_MANY, 1_000)];
    let raw = raw.map(|(name, count)| Box::new(RawClients { name, count }) as Box<dyn Column>);
    Job::Contest(Contest {
        key: "link",
        point: Some("clients".into()),
        row: rows::LINK,
        title: "56 bytes to each of many clients over Unix sockets, all in one runtime".into(),
        timed: "from when all have subscribed until all have got their share",
        // A thousand for each of a thousand: what a fresh connection costs at first is little beside it.
        operations: options.operations(1_000_000, 2_000),
        columns: crowds.into_iter().chain(raw).collect(),
        pairs: vec![
            Pair::new(MANY, RAW_MANY).at_least(0.8),
            // What so many of them lose, links and the sockets themselves.
            Pair::new(MANY, CLIENT).throughput(),
            Pair::new(RAW_MANY, RAW_CLIENT).throughput(),
        ],
    })
}

fn memory(options: &Options) -> Job {
    Job::Counts(Counts {
        key: "link",
        point: "memory",
        row: rows::LINK,
        title: "the most that an end of a connection holds, its link, buffers and task together"
            .into(),
        operations: options.operations(200_000, 2_000),
        columns: vec![Box::new(crowd(MANY, 1_000)) as Box<dyn Counted>],
    })
}

/// What the columns take of one way, and of a trip, which is so much slower that there are fewer.
fn spent(options: &Options, cores: &Cores) -> [Job; 2] {
    let metered = |make: &dyn Fn(Wire) -> Box<dyn Column>| {
        let meter = Arc::new(Meter::default());
        let wire = Wire { cores: cores.clone(), meter: Some(meter.clone()) };
        Box::new(Spent { meter, column: make(wire) }) as Box<dyn Counted>
    };
    let table = |point, what, operations, columns| {
        let title = format!("what {what} takes of both sides together, beside time");
        Job::Counts(Counts { key: "link", point, row: rows::LINK, title, operations, columns })
    };
    let over = |(name, batching)| {
        metered(&|wire| over::<1, 1>(name, batching, Envelope::default(), &wire))
    };
    let [low, balanced, fast] = PRESETS.map(over);
    let raw = metered(&|wire| Box::new(one_way::Raw { name: RAW, bytes: SLOT, wire }));
    let batching = Batching::LOW_LATENCY;
    let trip = metered(&|wire| Box::new(Median(trip::OverLink { name: LOW, batching, wire })));
    let raw_trip = metered(&|wire| Box::new(Median(trip::Raw { name: RAW_TRIP, wire })));
    let (many, few) = (options.operations(20_000, 500), options.operations(500, 100));
    [
        table("spent", "a message one way", many, vec![low, balanced, fast, raw]),
        table("spent-trip", "a trip", few, vec![trip, raw_trip]),
    ]
}
