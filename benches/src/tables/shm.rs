//! Two processes that share memory: our rings, and services of two nodes, beside the fastest
//! exchange that the machine allows.

use crate::goals::Pair;
use crate::harness::Contest;
use crate::loops::executor::host::Runtime;
use crate::loops::link::trip::raw;
use crate::loops::link::{SocketKind, Wire};
use crate::loops::shm::asleep::eventfds;
use crate::loops::shm::bare::{Numbers, Slots};
use crate::loops::shm::exchange::{one_way, trips};
use crate::loops::shm::nodes::{self, Between, Place, in_one_process, two_processes};
use crate::loops::shm::ring::Rings;
#[cfg(feature = "rivals")]
use crate::loops::shm::rivals::{Iceoryx, Ringfire};
use crate::machine::affinity::Cores;
use crate::options::Options;

const OURS: &str = "our rings";
const RAW: &str = "raw atomics, same pages";
const TWO: &str = "two processes";
const ONE: &str = "one process";

const IN_PLACE: &str = "reserve";
const EMIT_REF: &str = "emit_ref";
const SLOTS: &str = "bare stamped slots";
const RINGFIRE: &str = "ringfire blobs";
const ICEORYX: &str = "iceoryx2 slices, lent";

pub(super) fn contests(options: &Options, cores: &Cores) -> [Contest; 10] {
    // A slot of 48 bytes takes one line, a slot of 64 bytes two.
    let mut small = trip::<6>(options, cores, 60.0);
    let pair = nodes::Pair::Trip(0);
    small.columns.push(two_processes(TWO, pair, Between::Memory, Place::Spinning, cores));
    let services = Pair::new(TWO, RAW);
    let slow = [Pair::spread(TWO).within_at_median(2.5), services.of_slow().adds(300.0)];
    small.pairs.extend([services.adds(120.0)].into_iter().chain(slow));
    [
        small,
        trip::<8>(options, cores, 60.0),
        flow::<8>(options, cores, 100_000),
        flow::<128>(options, cores, 20_000),
        emit_to_receive(options, cores),
        lists::<512>(options, cores, 20_000),
        lists::<8192>(options, cores, 2_000),
        lists::<{ 1 << 17 }>(options, cores, 200),
        lists::<{ 1 << 21 }>(options, cores, 20),
        asleep(options, cores),
    ]
}

fn trip<const W: usize>(options: &Options, cores: &Cores, most: f64) -> Contest {
    let size = size_of::<[usize; W]>();
    let title = format!("{size} bytes to another process and back");
    Contest {
        timed: "each trip; the figure of a round is the median of its trips",
        operations: options.operations(5_000, 200),
        columns: vec![
            trips::<Rings, W>(OURS, cores),
            trips::<Slots, W>(SLOTS, cores),
            trips::<Numbers, 1>(RAW, cores),
        ],
        pairs: vec![Pair::new(OURS, RAW).adds(most)],
        ..Contest::new("shm", "round trip through shared memory", title).at(format!("trip-{size}"))
    }
}

fn flow<const W: usize>(options: &Options, cores: &Cores, messages: usize) -> Contest {
    let size = size_of::<[usize; W]>();
    let title = format!("{size} bytes one way to another process, 16 pauses");
    Contest {
        timed: "from the first message to the answer to the last one",
        operations: options.operations(messages, 600),
        columns: vec![one_way::<Rings, W>(OURS, cores), one_way::<Slots, W>(SLOTS, cores)],
        pairs: vec![Pair::new(OURS, SLOTS).at_least(0.8)],
        ..Contest::new("shm", "one way through shared memory", title).at(format!("one-way-{size}"))
    }
}

fn emit_to_receive(options: &Options, cores: &Cores) -> Contest {
    let pair = nodes::Pair::Flow;
    let title = "56 bytes from emit to receive of services";
    Contest {
        timed: "from the first emit until the answer to the last message",
        operations: options.operations(300_000, 600),
        columns: vec![
            two_processes(TWO, pair, Between::Memory, Place::Spinning, cores),
            in_one_process(ONE, pair, cores),
        ],
        pairs: vec![Pair::new(TWO, ONE).at_least(0.9)],
        ..Contest::new("shm", "services through shared memory", title).at("services")
    }
}

/// Measures lists of bytes between two services, beside a copy in and a copy out of shared memory.
fn lists<const W: usize>(options: &Options, cores: &Cores, messages: usize) -> Contest {
    let size = size_of::<[usize; W]>();
    let title = format!("a list of {size} bytes from a service to recv_view of another one");
    let ours = |name, pair| two_processes(name, pair, Between::Memory, Place::Spinning, cores);
    let least = if W < 8192 { None } else { Some(0.8) };
    let beside = Pair::new(IN_PLACE, SLOTS).throughput();
    Contest {
        timed: "from the first message to the answer to the last one",
        // Each byte is compared, which takes a debug build half a second for 16 MiB.
        operations: match options.quick && size > 1 << 20 {
            true => 2,
            false => options.operations(messages, messages / 10),
        },
        columns: vec![
            ours(IN_PLACE, nodes::Pair::InPlace(size)),
            ours(EMIT_REF, nodes::Pair::Bytes(size)),
            one_way::<Slots, W>(SLOTS, cores),
            #[cfg(feature = "rivals")]
            one_way::<Ringfire, W>(RINGFIRE, cores),
            #[cfg(feature = "rivals")]
            one_way::<Iceoryx, W>(ICEORYX, cores),
        ],
        pairs: vec![
            least.map_or(beside, |least| beside.at_least(least)),
            Pair::new(IN_PLACE, RINGFIRE).at_least(1.0),
            Pair::new(IN_PLACE, ICEORYX).throughput(),
            Pair::new(EMIT_REF, SLOTS).throughput(),
        ],
        ..Contest::new("shm", "a list of bytes through shared memory", title)
            .at(format!("list-{size}"))
    }
}

fn asleep(options: &Options, cores: &Cores) -> Contest {
    const BLOCKING: &str = "eventfd";
    const ON_TOKIO: &str = "eventfd on tokio";
    const ON_SMOL: &str = "eventfd on smol";
    const ON_GLOMMIO: &str = "socket on glommio";
    let on = |runtime: Runtime| (runtime.name(), Place::On(runtime));
    // Each is compared with an eventfd that is awaited in the same executor. A task of glommio
    // cannot await one, but bytes on a socket.
    let rivals = [ON_TOKIO, ON_SMOL, ON_GLOMMIO];
    let mut places: Vec<_> = Runtime::all().into_iter().map(on).zip(rivals).collect();
    places.push((("bare loop", Place::Thread), BLOCKING));
    let ours = places.iter().map(|((name, place), _)| {
        two_processes(name, nodes::Pair::Trip(0), Between::Memory, *place, cores)
    });
    let mut columns: Vec<_> = ours.collect();
    columns.push(eventfds(ON_TOKIO, Place::On(Runtime::Tokio), cores));
    columns.push(eventfds(ON_SMOL, Place::On(Runtime::Smol), cores));
    columns.push(eventfds(BLOCKING, Place::Thread, cores));
    if Runtime::all().contains(&Runtime::Glommio) {
        let (sockets, runtime) = (SocketKind::Unix, Runtime::Glommio);
        columns.push(raw(ON_GLOMMIO, Wire { sockets, runtime, cores: cores.clone() }));
    }
    let pair = |((name, _), rival)| Pair::new(name, rival).within_at_median(1.3);
    let title = "48 bytes to a sleeping service in another process and back";
    Contest {
        timed: "each trip, two wakes; the figure of a round is its median",
        // Enough trips for a steady state: after a busy column the system polls for a while before
        // it lets a processor sleep.
        operations: options.operations(5_000, 100),
        columns,
        pairs: places.into_iter().map(pair).collect(),
        ..Contest::new("shm", "wakes through shared memory", title).at("asleep")
    }
}
