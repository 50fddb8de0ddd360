//! Two processes that share memory: our rings, and services of two nodes, beside the least that
//! the machine allows.

use mycelium::WaitStrategy::{self, Park, Spin};

use crate::affinity::Cores;
use crate::goals::Pair;
use crate::harness::{Contest, Kind as Measured, Sweep};
use crate::loops::executor::host::OnGlommio;
use crate::loops::shm::asleep::{eventfds, futexes};
use crate::loops::shm::exchange::{
    Figure, Kind, memcpy, one_way, published, published_trip, trips,
};
use crate::loops::shm::fan_out::fan_out;
use crate::loops::shm::nodes::{in_one_process, offered, processes, spent};
use crate::loops::shm::places::{self, Place};
use crate::options::Options;
use crate::tables::load::{RATES, messages};
use crate::tables::rows;
use crate::wait::Idle;

const OURS: &str = "our rings";
const SERVICES: &str = "services";
const RAW: &str = "raw atomics, same pages";
/// A column of the feature `iceoryx2`; without it, its pairs are not measured.
const ICEORYX2: &str = "iceoryx2";
/// Figures of other runs, for comparison: see `docs/performance.md`.
const AERON: &str = "Aeron (elsewhere)";

/// The parts of the table `shm`.
const TRIPS: &str = "shm-trips";
const ONE_WAY: &str = "shm-one-way";
const EMIT: &str = "shm-services";
const ASLEEP: &str = "shm-asleep";
const READERS: &str = "shm-readers";
const LOAD: &str = "shm-load";
const SPENT: &str = "shm-spent";

pub(super) fn sweeps(options: &Options, cores: &Cores) -> Vec<Sweep> {
    let mut contests = Vec::new();
    let wants = |part| options.wants("shm") || options.wants(part);
    if wants(TRIPS) {
        contests.push(mean::<6>(options, cores));
        contests.push(mean::<8>(options, cores));
        for tail in [false, true] {
            contests.push(each::<6>(options, cores, places::Pair::Trip48, tail));
            contests.push(each::<8>(options, cores, places::Pair::Trip64, tail));
        }
    }
    if wants(ONE_WAY) {
        for idle in [Idle::Busy, Idle::Pauses] {
            contests.push(flow::<8>(options, cores, idle, "64 bytes"));
            contests.push(flow::<128>(options, cores, idle, "1 KiB"));
            contests.push(flow::<4096>(options, cores, idle, "32 KiB"));
        }
    }
    if wants(EMIT) {
        contests.push(emit_to_receive(options, cores));
    }
    if wants(ASLEEP) {
        contests.push(asleep(options, cores));
    }
    if wants(READERS) {
        contests.push(readers(options, cores));
    }
    if wants(LOAD) {
        contests.push(load(options, cores));
    }
    if wants(SPENT) {
        let title = "sleeps of both processes and allocations of the sender, for a message one way";
        contests.push(Contest {
            operations: options.operations(20_000, 500),
            ..spent_by(places::Pair::Flow, cores, title, "spent")
        });
        // Trips are much slower, so there are fewer.
        let title = "sleeps of both processes and allocations of the client, for a round trip";
        contests.push(Contest {
            operations: options.operations(500, 100),
            ..spent_by(places::Pair::Trip48, cores, title, "spent-trip")
        });
    }
    contests.into_iter().map(Sweep::from).collect()
}

/// Without a clock between the trips, which costs as much as a part of a trip.
fn mean<const W: usize>(options: &Options, cores: &Cores) -> Contest {
    let size = size_of::<[usize; W]>();
    Contest {
        timed: "all trips of a round",
        operations: options.operations(5_000, 200),
        columns: vec![
            trips::<W>(OURS, Kind::Rings, Figure::Mean, cores),
            trips::<1>(RAW, Kind::Numbers, Figure::Mean, cores),
        ],
        pairs: vec![Pair::new(OURS, RAW)],
        ..Contest::new(
            "shm",
            rows::SHM_TRIP,
            format!("{size} bytes to another process and back, mean"),
        )
        .at(format!("trip-{size}-mean"))
    }
}

fn each<const W: usize>(
    options: &Options,
    cores: &Cores,
    pair: places::Pair,
    tail: bool,
) -> Contest {
    const ONE: &str = "services, one process";
    let size = size_of::<[usize; W]>();
    // A slot of 48 bytes is one line, one of 64 bytes two.
    let most = if size == 48 { 1.2 } else { 1.6 };
    let (figure, what, point) = match tail {
        true => (Figure::Tail, "99th percentile", "p99"),
        false => (Figure::Median, "median", "p50"),
    };
    let pairs = vec![
        Pair::new(OURS, RAW).within_at_median(most),
        Pair::new(SERVICES, RAW).within_at_median(most),
        Pair::new(SERVICES, ONE),
        Pair::new(OURS, ICEORYX2).within_at_median(0.333),
        Pair::new(SERVICES, ICEORYX2).within_at_median(0.333),
        Pair::new(OURS, AERON),
        Pair::new(SERVICES, AERON),
    ];
    let columns = vec![
        trips::<W>(OURS, Kind::Rings, figure, cores),
        processes(SERVICES, pair, Place::Thread, Spin, tail, cores),
        in_one_process(ONE, pair, tail, cores),
        trips::<1>(RAW, Kind::Numbers, figure, cores),
        #[cfg(feature = "iceoryx2")]
        trips::<W>(ICEORYX2, Kind::Iceoryx2, figure, cores),
        published_trip(AERON, if tail { 760 } else { 491 }, tail),
    ];
    Contest {
        timed: "each trip; the figure of a round is that of its trips",
        operations: options.operations(5_000, 200),
        columns,
        pairs,
        ..Contest::new(
            "shm",
            rows::SHM_TRIP,
            format!("{size} bytes to another process and back, {what}"),
        )
        .at(format!("trip-{size}-{point}"))
    }
}

fn flow<const W: usize>(options: &Options, cores: &Cores, idle: Idle, size: &str) -> Contest {
    const SLOTS: &str = "bare stamped slots";
    const MEMCPY: &str = "memcpy on one thread";
    let (messages, aeron) = match W {
        8 => (100_000, Some(74e6)),
        128 => (20_000, Some(7.6e6)),
        _ => (1_000, None),
    };
    let mut columns = vec![
        one_way::<W>(OURS, Kind::Rings, idle, cores),
        one_way::<W>(SLOTS, Kind::Slots, idle, cores),
        memcpy::<W>(MEMCPY),
        #[cfg(feature = "iceoryx2")]
        one_way::<W>(ICEORYX2, Kind::Iceoryx2, idle, cores),
    ];
    let pauses = idle == Idle::Pauses;
    let at_least =
        |pair: Pair, least| if pauses { pair.at_least(least) } else { pair.throughput() };
    let mut pairs = vec![at_least(Pair::new(OURS, SLOTS), 0.8)];
    if let Some(aeron) = aeron {
        columns.push(published(AERON, aeron));
        pairs.push(at_least(Pair::new(OURS, AERON), 1.5));
    } else {
        pairs.push(at_least(Pair::new(OURS, MEMCPY), 0.8));
    }
    let iceoryx2 = Pair::new(OURS, ICEORYX2).throughput();
    pairs.push(if W == 8 { at_least(iceoryx2, 20.0) } else { iceoryx2 });
    let title = format!("{size} one way to another process, {idle}");
    Contest {
        timed: "from the first message to the answer to the last one",
        operations: options.operations(messages, 600),
        columns,
        pairs,
        ..Contest::new("shm", rows::SHM_ONE_WAY, title).at(format!(
            "one-way-{}-{}",
            W * 8,
            idle.slug()
        ))
    }
}

fn emit_to_receive(options: &Options, cores: &Cores) -> Contest {
    const TWO: &str = "two processes";
    const ONE: &str = "one process";
    Contest {
        timed: "from the first emit until the answer to the last message",
        operations: options.operations(300_000, 600),
        columns: vec![
            processes(TWO, places::Pair::Flow, Place::Thread, Spin, false, cores),
            in_one_process(ONE, places::Pair::Flow, false, cores),
        ],
        pairs: vec![Pair::new(TWO, ONE).at_least(0.8)],
        ..Contest::new("shm", rows::SHM_SERVICES, "56 bytes from emit to receive of services")
            .at("services")
    }
}

fn asleep(options: &Options, cores: &Cores) -> Contest {
    const EVENTFD: &str = "eventfd";
    const PLACES: [(&str, Place); 4] = [
        ("tokio", Place::Tokio),
        ("smol", Place::Smol),
        ("glommio", Place::Glommio),
        ("bare loop", Place::Thread),
    ];
    let glommio = OnGlommio::runs();
    let places = PLACES.into_iter().filter(|(_, place)| glommio || *place != Place::Glommio);
    let (mut columns, mut pairs) = (Vec::new(), Vec::new());
    for (name, place) in places {
        columns.push(processes(name, places::Pair::Trip48, place, Park, false, cores));
        pairs.push(Pair::new(name, EVENTFD).within_at_median(1.2));
    }
    columns.extend([eventfds(EVENTFD, cores), futexes("futex", cores)]);
    Contest {
        timed: "each trip, two wakes; the figure of a round is its median",
        operations: options.operations(500, 100),
        columns,
        pairs,
        ..Contest::new(
            "shm",
            rows::SHM_ASLEEP,
            "48 bytes to a sleeping service in another process and back",
        )
        .at("asleep")
    }
}

fn readers(options: &Options, cores: &Cores) -> Contest {
    const ONE: &str = "to 1 process";
    const FOUR: &str = "to 4 processes";
    Contest {
        timed: "the publisher's part; the messages are taken between the timed parts",
        operations: options.operations(20_480, 1_024),
        columns: vec![fan_out(FOUR, 4, cores), fan_out(ONE, 1, cores)],
        pairs: vec![Pair::new(FOUR, ONE).within_at_median(1.1)],
        ..Contest::new("shm", rows::SHM_FAN_OUT, "48 bytes to gating readers in other processes")
            .at("readers")
    }
}

/// How services wait, which is what presets are to links over sockets.
const WAITS: [(&str, Place, WaitStrategy); 2] =
    [("services that spin", Place::Thread, Spin), ("services that park", Place::Tokio, Park)];

fn load(options: &Options, cores: &Cores) -> Contest {
    let columns = WAITS.iter().flat_map(|(name, place, wait)| {
        RATES.map(|rate| offered(name, *place, *wait, rate, messages(options, rate), cores))
    });
    Contest {
        kind: Measured::Loads(RATES.into()),
        columns: columns.collect(),
        ..Contest::new("shm", "", "56 bytes one way to another process, sent when they are due")
    }
}

fn spent_by(pair: places::Pair, cores: &Cores, title: &str, point: &str) -> Contest {
    Contest {
        kind: Measured::Counts,
        columns: WAITS.map(|(name, place, wait)| spent(name, pair, place, wait, cores)).into(),
        ..Contest::new("shm", "", title).at(point)
    }
}
