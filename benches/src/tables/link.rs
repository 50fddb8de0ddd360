//! Links over Unix sockets, TCP and TLS, beside the sockets without links, on each executor, so
//! that the worst one decides the row.

use mycelium_core::link::Batching;
use mycelium_transports::exchange::LinkConfig;

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Contest, Sweep};
use crate::loops::executor::host::Runtime;
use crate::loops::link::exchange::exchange;
use crate::loops::link::{SocketKind, Wire, one_way, raw, trip};
use crate::options::Options;
use crate::sample::Sample;
use crate::tables::rows::{LINK, LINK_TCP, LINK_TLS};

/// The columns on one executor.
struct Names {
    low: &'static str,
    fast: &'static str,
    exchange: &'static str,
    raw: &'static str,
    raw_trip: &'static str,
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

const KINDS: [Over; 3] = [
    Over {
        sockets: SocketKind::Unix,
        table: "link",
        row: LINK,
        title: "over a Unix socket",
        emit: 0.65,
        link: 0.85,
    },
    Over {
        sockets: SocketKind::Tcp,
        table: "tcp",
        row: LINK_TCP,
        title: "over TCP",
        emit: 0.6,
        link: 0.85,
    },
    // The raw sockets have TLS, too.
    Over {
        sockets: SocketKind::Tls,
        table: "tls",
        row: LINK_TLS,
        title: "over TLS",
        emit: 0.6,
        link: 0.8,
    },
];

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let kinds = KINDS.iter().filter(|over| options.wants(over.table));
    let contests = kinds.flat_map(|over| {
        [Runtime::Tokio].into_iter().chain(Runtime::others()).flat_map(move |runtime| {
            let wire = Wire { sockets: over.sockets, runtime, cores: cores.clone() };
            [over.one_way(options, &wire), over.trips(options, &wire)]
        })
    });
    let memory = options.wants("link").then(|| memory(options));
    contests.chain(memory).map(Sweep::from).collect()
}

fn memory(options: &Options) -> Contest {
    let title = "peak memory of an end of a link on tokio: link, buffers and task";
    Contest {
        counts: true,
        operations: options.operations(200_000, 2_000),
        columns: vec![one_way::memory("1,000 links", 1_000)],
        ..Contest::new("link", LINK, title).at("memory")
    }
}

impl Over {
    fn one_way(&self, options: &Options, wire: &Wire) -> Contest {
        /// Bytes on the wire of a message in a run.
        const SLOT: usize = 8 + size_of::<Sample>();
        let Names { exchange: ours, fast, raw: rival, executor, .. } = *Names::on(wire.runtime);
        let title = format!("56 bytes one way {} between two threads of {executor}", self.title);
        Contest {
            timed: "from the first send to the last receive; 64 bytes on the wire",
            operations: options.operations(2_000_000, 2_000),
            columns: vec![
                exchange(ours, LinkConfig::high_throughput(), wire.clone()),
                one_way::over_link(fast, wire.clone()),
                raw(rival, SLOT, wire.clone()),
            ],
            pairs: vec![
                Pair::new(ours, rival).at_least(self.emit),
                Pair::new(fast, rival).at_least(self.link),
            ],
            ..Contest::new(self.table, self.row, title).at(executor)
        }
    }

    fn trips(&self, options: &Options, wire: &Wire) -> Contest {
        let Names { low, raw_trip, executor, .. } = *Names::on(wire.runtime);
        let title =
            format!("64 bytes there and back {} between two threads of {executor}", self.title);
        Contest {
            timed: "each trip, from before its send; the figure of a round is its median",
            operations: options.operations(1_000, 200),
            columns: vec![
                trip::over_link(low, Batching::LOW_LATENCY, wire.clone()),
                trip::raw(raw_trip, wire.clone()),
            ],
            pairs: vec![Pair::new(low, raw_trip).within(1.1)],
            ..Contest::new(self.table, self.row, title).at(format!("trip-{executor}"))
        }
    }
}
