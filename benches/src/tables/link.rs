//! Links over Unix sockets, TCP and TLS, beside the sockets without links.
//!
//! The tables of goals exist for each executor, so that the worst one decides its row. The others
//! run on tokio only.

use std::sync::Arc;

use mycelium_core::link::Batching;
use mycelium_core::{Envelope, TraceContext};
use mycelium_transports::exchange::LinkConfig;
use mycelium_transports::stream::{STREAMS, TOPICS};

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Column, Contest, Kind, Sweep};
use crate::loops::executor::host::Runtime;
use crate::loops::link::clients::{clients, memory, raw_clients};
use crate::loops::link::exchange::exchange;
use crate::loops::link::load::offered;
use crate::loops::link::spent::{Meter, spent};
use crate::loops::link::{HEADER, SocketKind, Wire, one_way, trip};
use crate::options::Options;
use crate::sample::Sample;
use crate::tables::load::{RATES, messages};
use crate::tables::rows::{LINK, LINK_TCP, LINK_TLS};

const BALANCED: &str = "link, balanced";

/// The columns of the goals.
struct Names {
    low: &'static str,
    fast: &'static str,
    exchange: &'static str,
    raw: &'static str,
    raw_trip: &'static str,
    many: &'static str,
    raw_many: &'static str,
    /// The executor in titles.
    executor: &'static str,
}

macro_rules! names {
    ($executor:literal, $after:literal) => {
        Names {
            low: concat!("link, low latency", $after),
            fast: concat!("link, high throughput", $after),
            exchange: concat!("emit to receive", $after),
            raw: concat!("raw 64 KiB", $after),
            raw_trip: concat!("raw socket", $after),
            many: concat!("1,000 clients", $after),
            raw_many: concat!("1,000 raw sockets", $after),
            executor: $executor,
        }
    };
}

impl Names {
    const fn on(runtime: Runtime) -> &'static Names {
        match runtime {
            Runtime::Tokio => &names!("tokio", ""),
            Runtime::Smol => &names!("smol", ", smol"),
            Runtime::Glommio => &names!("glommio", ", glommio"),
        }
    }
}

/// The columns that run on tokio only.
const TOKIO: &Names = Names::on(Runtime::Tokio);

/// The presets by name.
const PRESETS: [(&str, Batching); 3] = [
    (TOKIO.low, Batching::LOW_LATENCY),
    (BALANCED, Batching::BALANCED),
    (TOKIO.fast, Batching::HIGH_THROUGHPUT),
];

/// Bytes on the wire of a message in a run.
const SLOT: usize = 8 + size_of::<Sample>();

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let kinds = [&UNIX, &TCP, &TLS].into_iter().filter(|over| options.wants(over.table));
    kinds.flat_map(|over| over.contests(options, cores)).map(Sweep::from).collect()
}

/// The tables over one kind of sockets.
struct Over {
    sockets: SocketKind,
    table: &'static str,
    row: &'static str,
    /// How titles name the sockets.
    title: &'static str,
    /// The least share of the raw socket's throughput, from emit to receive.
    emit: f64,
    /// The same of the link alone.
    link: f64,
}

const UNIX: Over = Over {
    sockets: SocketKind::Unix,
    table: "link",
    row: LINK,
    title: "over a Unix socket",
    emit: 0.65,
    link: 0.85,
};

const TCP: Over = Over {
    sockets: SocketKind::Tcp,
    table: "tcp",
    row: LINK_TCP,
    title: "over TCP",
    emit: 0.6,
    link: 0.85,
};

/// The raw sockets have TLS, too.
const TLS: Over = Over {
    sockets: SocketKind::Tls,
    table: "tls",
    row: LINK_TLS,
    title: "over TLS",
    emit: 0.6,
    link: 0.8,
};

impl Over {
    fn contests(&self, options: &Options, cores: &Cores) -> Vec<Contest> {
        let wire =
            |runtime| Wire { sockets: self.sockets, runtime, cores: cores.clone(), meter: None };
        let tokio = wire(Runtime::Tokio);
        let mut contests = vec![one_way(self, options, &tokio), trips(self, options, &tokio)];
        let others: Vec<Runtime> = Runtime::others().collect();
        for wire in others.iter().map(|runtime| wire(*runtime)) {
            contests.push(one_way_on(self, options, &wire));
            contests.push(trips_on(self, options, &wire));
        }
        // The others would measure the same encryption again.
        if self.sockets == SocketKind::Tls {
            return contests;
        }
        contests.push(load(self, options, &tokio));
        contests.push(many_clients(self, options));
        contests.extend(others.iter().map(|runtime| many_clients_on(self, options, *runtime)));
        // The same for all kinds.
        contests.extend((self.sockets == SocketKind::Unix).then(|| memory_of_ends(options)));
        contests.extend([spent_one_way(self, options, cores), spent_trip(self, options, cores)]);
        contests
    }

    /// `{}` in a title is the kind of sockets.
    fn contest(&self, title: &str) -> Contest {
        Contest::new(self.table, self.row, title.replace("{}", self.title))
    }
}

fn memory_of_ends(options: &Options) -> Contest {
    Contest {
        kind: Kind::Counts,
        operations: options.operations(200_000, 2_000),
        columns: vec![memory(TOKIO.many, 1_000, Batching::BALANCED)],
        ..UNIX.contest("peak memory of an end of a connection: link, buffers and task").at("memory")
    }
}

/// Messages one way without traces, over a link with tables for a single topic.
fn over(name: &'static str, batching: Batching, wire: &Wire) -> Column {
    one_way::over_link::<1, 1>(name, batching, Envelope::default(), wire.clone())
}

fn one_way(kind: &Over, options: &Options, wire: &Wire) -> Contest {
    const NODE: &str = "link of a node";
    const TRACED: &str = "link with traces";
    const RAW_TRACED: &str = "raw 64 KiB, with traces";
    /// Bytes on the wire of a message with a trace.
    const TRACED_BYTES: usize = HEADER + size_of::<Sample>() + 32;
    let fast = Batching::HIGH_THROUGHPUT;
    let plain = Envelope::default();
    let trace = Some(TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 });
    let traced = Envelope { trace, ..plain };
    Contest {
        timed: "from the first send to the last receive; 64 bytes on the wire, with a trace 112",
        operations: options.operations(2_000_000, 2_000),
        columns: vec![
            over(TOKIO.fast, fast, wire),
            over(BALANCED, Batching::BALANCED, wire),
            one_way::over_link::<TOPICS, STREAMS>(NODE, fast, plain, wire.clone()),
            exchange(TOKIO.exchange, LinkConfig::high_throughput(), wire.clone()),
            one_way::over_link::<1, 1>(TRACED, fast, traced, wire.clone()),
            one_way::raw(TOKIO.raw, SLOT, wire.clone()),
            one_way::raw(RAW_TRACED, TRACED_BYTES, wire.clone()),
        ],
        pairs: vec![
            Pair::new(TOKIO.exchange, TOKIO.raw).at_least(kind.emit),
            Pair::new(TOKIO.fast, TOKIO.raw).at_least(kind.link),
            Pair::new(BALANCED, TOKIO.raw).throughput(),
            Pair::new(NODE, TOKIO.raw).throughput(),
            Pair::new(TRACED, RAW_TRACED).throughput(),
        ],
        ..kind.contest("56 bytes one way {} between two runtimes of one thread")
    }
}

/// The goals of [`one_way()`] on another executor.
fn one_way_on(kind: &Over, options: &Options, wire: &Wire) -> Contest {
    let names = Names::on(wire.runtime);
    let title = format!("56 bytes one way {{}} between two threads of {}", names.executor);
    Contest {
        timed: "from the first send to the last receive; 64 bytes on the wire",
        operations: options.operations(2_000_000, 2_000),
        columns: vec![
            over(names.fast, Batching::HIGH_THROUGHPUT, wire),
            exchange(names.exchange, LinkConfig::high_throughput(), wire.clone()),
            one_way::raw(names.raw, SLOT, wire.clone()),
        ],
        pairs: vec![
            Pair::new(names.exchange, names.raw).at_least(kind.emit),
            Pair::new(names.fast, names.raw).at_least(kind.link),
        ],
        ..kind.contest(&title).at(names.executor)
    }
}

fn trips(kind: &Over, options: &Options, wire: &Wire) -> Contest {
    const CODEC: &str = "tokio-util codec";
    // It drives a socket of tokio's own.
    let codec = kind.sockets != SocketKind::Tls;
    Contest {
        timed: "each trip, from before its send; the figure of a round is its median",
        operations: options.operations(1_000, 200),
        columns: vec![
            trip::over_link(TOKIO.low, Batching::LOW_LATENCY, wire.clone()),
            trip::over_link(TOKIO.fast, Batching::HIGH_THROUGHPUT, wire.clone()),
            trip::raw(TOKIO.raw_trip, wire.clone()),
        ]
        .into_iter()
        .chain(codec.then(|| trip::length_delimited(CODEC, wire.clone())))
        .collect(),
        pairs: [
            Pair::new(TOKIO.low, TOKIO.raw_trip).within(1.1),
            Pair::new(TOKIO.fast, TOKIO.raw_trip),
        ]
        .into_iter()
        .chain(codec.then(|| Pair::new(TOKIO.low, CODEC)))
        .collect(),
        ..kind.contest("64 bytes there and back {} between two runtimes of one thread").at("trip")
    }
}

/// The goals of [`trips`] on another executor.
fn trips_on(kind: &Over, options: &Options, wire: &Wire) -> Contest {
    let names = Names::on(wire.runtime);
    let title = format!("64 bytes there and back {{}} between two threads of {}", names.executor);
    Contest {
        timed: "each trip, from before its send; the figure of a round is its median",
        operations: options.operations(1_000, 200),
        columns: vec![
            trip::over_link(names.low, Batching::LOW_LATENCY, wire.clone()),
            trip::raw(names.raw_trip, wire.clone()),
        ],
        pairs: vec![Pair::new(names.low, names.raw_trip).within(1.1)],
        ..kind.contest(&title).at(format!("trip-{}", names.executor))
    }
}

fn load(kind: &Over, options: &Options, wire: &Wire) -> Contest {
    let columns = PRESETS.iter().flat_map(|(name, batching)| {
        RATES.map(|rate| offered(name, *batching, rate, messages(options, rate), wire.clone()))
    });
    Contest {
        kind: Kind::Loads(RATES.into()),
        columns: columns.collect(),
        ..kind.contest("56 bytes one way {}, sent when they are due")
    }
}

fn many_clients(kind: &Over, options: &Options) -> Contest {
    const ONE: &str = "1 client";
    const RAW_ONE: &str = "1 raw socket";
    let crowds = [(ONE, 1), ("10 clients", 10), ("100 clients", 100), (TOKIO.many, 1_000)];
    let crowds = crowds.map(|(name, count)| {
        clients(name, Runtime::Tokio, kind.sockets, count, Batching::BALANCED)
    });
    let raw = [(RAW_ONE, 1), (TOKIO.raw_many, 1_000)]
        .map(|(name, count)| raw_clients(name, Runtime::Tokio, kind.sockets, count));
    Contest {
        timed: "from the last subscription until all clients have all their messages",
        // A thousand messages for each of a thousand clients, so that the start of a connection
        // hardly counts.
        operations: options.operations(1_000_000, 2_000),
        columns: crowds.into_iter().chain(raw).collect(),
        pairs: vec![
            Pair::new(TOKIO.many, TOKIO.raw_many).at_least(0.8),
            // The loss due to the number of connections, of links and of sockets.
            Pair::new(TOKIO.many, ONE).throughput(),
            Pair::new(TOKIO.raw_many, RAW_ONE).throughput(),
        ],
        ..kind.contest("56 bytes to each of many clients {}, all in one runtime").at("clients")
    }
}

/// The goal of [`many_clients`] on another executor.
fn many_clients_on(kind: &Over, options: &Options, runtime: Runtime) -> Contest {
    const COUNT: usize = 1_000;
    let names = Names::on(runtime);
    let title = format!("56 bytes to each of many clients {{}}, all on {}", names.executor);
    Contest {
        timed: "from the last subscription until all clients have all their messages",
        operations: options.operations(1_000_000, 2_000),
        columns: vec![
            clients(names.many, runtime, kind.sockets, COUNT, Batching::BALANCED),
            raw_clients(names.raw_many, runtime, kind.sockets, COUNT),
        ],
        pairs: vec![Pair::new(names.many, names.raw_many).at_least(0.8)],
        ..kind.contest(&title).at(format!("clients-{}", names.executor))
    }
}

/// The system calls and allocations of a column.
fn metered(kind: &Over, cores: &Cores, column: impl Fn(Wire) -> Column) -> Column {
    let meter = Arc::new(Meter::default());
    let (sockets, runtime, cores) = (kind.sockets, Runtime::Tokio, cores.clone());
    let wire = Wire { sockets, runtime, cores, meter: Some(meter.clone()) };
    spent(meter, column(wire))
}

fn spent_one_way(kind: &Over, options: &Options, cores: &Cores) -> Contest {
    let presets =
        PRESETS.map(|(name, batching)| metered(kind, cores, |wire| over(name, batching, &wire)));
    let raw = metered(kind, cores, |wire| one_way::raw(TOKIO.raw, SLOT, wire));
    Contest {
        kind: Kind::Counts,
        operations: options.operations(20_000, 500),
        columns: presets.into_iter().chain([raw]).collect(),
        ..kind
            .contest("system calls and allocations of both sides, for a message one way")
            .at("spent")
    }
}

/// Trips are much slower, so there are fewer.
fn spent_trip(kind: &Over, options: &Options, cores: &Cores) -> Contest {
    let batching = Batching::LOW_LATENCY;
    Contest {
        kind: Kind::Counts,
        operations: options.operations(500, 100),
        columns: vec![
            metered(kind, cores, |wire| trip::over_link(TOKIO.low, batching, wire)),
            metered(kind, cores, |wire| trip::raw(TOKIO.raw_trip, wire)),
        ],
        ..kind
            .contest("system calls and allocations of both sides, for a round trip")
            .at("spent-trip")
    }
}
