//! Links over Unix sockets, TCP and TLS, beside the sockets without links, on each executor, so
//! that the worst one decides the row.

use mycelium_core::link::Batching;

use crate::goals;
use crate::harness::Contest;
use crate::loops::executor::host::Runtime;
use crate::loops::link::{SocketKind, Wire, one_way, raw, trip};
use crate::loops::shm::nodes::{Between, Pair, Place, two_processes};
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::sample::Sample;

const UNIX: &str = "link over a Unix socket";

const EMIT: &str = "emit to receive";
const FAST: &str = "link, high throughput";
const RAW: &str = "raw 64 KiB";
const IN_PLACE: &str = "reserve to recv_view";
const LOW: &str = "link, low latency";
const RAW_TRIP: &str = "raw socket";

/// The tables over one kind of sockets.
struct Over {
    sockets: SocketKind,
    table: &'static str,
    /// The row of the goals. Titles have its last words, such as `over TCP`.
    row: &'static str,
    /// The least share of the raw socket's throughput, from emit to receive.
    emit: f64,
    /// The least share of the raw socket's throughput for the link alone.
    link: fn(Runtime) -> f64,
}

pub(super) fn unix(options: &Options, cores: &Cores) -> Vec<Contest> {
    let link = |runtime| if runtime == Runtime::Glommio { 0.75 } else { 0.85 };
    let over = Over { sockets: SocketKind::Unix, table: "link", row: UNIX, emit: 0.6, link };
    let mut contests = over.contests(options, cores);
    for runtime in Runtime::all() {
        let wire = Wire { sockets: SocketKind::Unix, runtime, cores: cores.clone() };
        contests.extend([64 << 10, 1 << 20].map(|size| lists(options, &wire, size)));
    }
    contests.push(beside(options, cores));
    let title = "peak memory of an end of a link on tokio: link, buffers and task";
    contests.push(Contest {
        counts: true,
        operations: options.operations(200_000, 2_000),
        columns: vec![one_way::memory("1,000 links", 1_000)],
        ..Contest::new("link", UNIX, title).at("memory")
    });
    contests
}

pub(super) fn tcp(options: &Options, cores: &Cores) -> Vec<Contest> {
    let (sockets, row) = (SocketKind::Tcp, "link over TCP");
    Over { sockets, table: "tcp", row, emit: 0.6, link: |_| 0.85 }.contests(options, cores)
}

/// Makes the contests over TLS. The raw sockets use TLS, too.
pub(super) fn tls(options: &Options, cores: &Cores) -> Vec<Contest> {
    let (sockets, row) = (SocketKind::Tls, "link over TLS");
    Over { sockets, table: "tls", row, emit: 0.6, link: |_| 0.85 }.contests(options, cores)
}

/// Measures lists of bytes from one service to another.
fn lists(options: &Options, wire: &Wire, size: usize) -> Contest {
    let (between, place) = (Between::Socket(wire.sockets), Place::On(wire.runtime));
    let executor = wire.runtime.name();
    let title = format!("a list of {size} bytes over a Unix socket on {executor}");
    let messages = (256 << 20) / size;
    Contest {
        timed: "from the first message to the answer to the last one",
        operations: options.operations(messages, messages / 32),
        columns: vec![
            two_processes(IN_PLACE, Pair::InPlace(size), between, place, &wire.cores),
            raw(RAW, size, wire.clone()),
        ],
        pairs: vec![goals::Pair::new(IN_PLACE, RAW).at_least(0.85)],
        ..Contest::new("link", "a list of bytes over a Unix socket", title)
            .at(format!("list-{size}-{executor}"))
    }
}

/// Measures trips while long messages use the same link.
fn beside(options: &Options, cores: &Cores) -> Contest {
    const ALONE: &str = "alone";
    const BESIDE: &str = "beside 64 MiB";
    let trips = |name, size| {
        let (between, place) = (Between::Socket(SocketKind::Unix), Place::On(Runtime::Tokio));
        two_processes(name, Pair::Trip(size), between, place, cores)
    };
    let long = if options.quick { 1 << 20 } else { (64 << 20) - 64 };
    let title = "48 bytes to another process and back, beside messages of 64 MiB on the link";
    Contest {
        timed: "each trip; the figure of a round is its median, and its 99th percentile is judged",
        operations: options.operations(4_000, 200),
        columns: vec![trips(BESIDE, long), trips(ALONE, 0)],
        pairs: vec![goals::Pair::new(BESIDE, ALONE).of_slow().within(2.0)],
        ..Contest::new("link", "short messages beside long ones", title).at("beside")
    }
}

impl Over {
    fn contests(&self, options: &Options, cores: &Cores) -> Vec<Contest> {
        let contests = Runtime::all().into_iter().flat_map(|runtime| {
            let wire = Wire { sockets: self.sockets, runtime, cores: cores.clone() };
            [self.one_way(options, &wire), self.trips(options, &wire)]
        });
        contests.collect()
    }

    fn one_way(&self, options: &Options, wire: &Wire) -> Contest {
        /// The bytes on the wire of a message in a run.
        const SLOT: usize = 8 + size_of::<Sample>();
        let (between, place) = (Between::Socket(self.sockets), Place::On(wire.runtime));
        let (over, executor) = (self.row.trim_start_matches("link "), wire.runtime.name());
        let title = format!("56 bytes one way {over} on {executor}");
        Contest {
            timed: "from the first send to the last receive; 64 bytes on the wire",
            operations: options.operations(2_000_000, 2_000),
            columns: vec![
                two_processes(EMIT, Pair::Flow, between, place, &wire.cores),
                one_way::over_link(FAST, wire.clone()),
                raw(RAW, SLOT, wire.clone()),
            ],
            pairs: vec![
                goals::Pair::new(EMIT, RAW).at_least(self.emit),
                goals::Pair::new(FAST, RAW).at_least((self.link)(wire.runtime)),
            ],
            ..Contest::new(self.table, self.row, title).at(executor)
        }
    }

    fn trips(&self, options: &Options, wire: &Wire) -> Contest {
        let (over, executor) = (self.row.trim_start_matches("link "), wire.runtime.name());
        let title = format!("64 bytes there and back {over} between two threads of {executor}");
        Contest {
            timed: "each trip, from before its send; the figure of a round is its median",
            operations: options.operations(1_000, 200),
            columns: vec![
                trip::over_link(LOW, Batching::LOW_LATENCY, wire.clone()),
                trip::raw(RAW_TRIP, wire.clone()),
            ],
            pairs: vec![goals::Pair::new(LOW, RAW_TRIP).within(1.1)],
            ..Contest::new(self.table, self.row, title).at(format!("trip-{executor}"))
        }
    }
}
