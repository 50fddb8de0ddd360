//! Nodes on a bad network: a proxy delays, throttles, cuts, stalls, refuses and damages their
//! connections, as a seed decides. The messages of a publisher stay in order, none is lost without
//! a gap, none is repeated without a mark, and the counters of sent, delivered, dropped and left
//! messages add up. Each test runs over TCP and over TLS, which detects all damage.
//!
//! `FAULT_SEEDS=50 cargo test --test it bad_network` runs longer, `SEED=7` runs that seed.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::any::Any;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mycelium::{Delivery, Node, Running, Topology};
use mycelium_transports::counters::Kind;
use tokio::time::sleep;

#[cfg(feature = "tls")]
use crate::certificates::Certificates;
use crate::conserved::{accounted, conserved};
use crate::loopback::host;
use crate::node::services::Taker;
use crate::numbers::{Number, Source};
use crate::proxy::Proxy;
use crate::running::{self, of_links, within};
use crate::support::seeds;
use crate::way::{End, Fault};

/// Makes a test of each of these functions for each kind of connection, such as `over_tls::name`.
macro_rules! over_tcp_and_tls {
    ($($name:ident),+ $(,)?) => {
        mod over_tcp {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Security::Plain).await })+
        }
        #[cfg(feature = "tls")]
        mod over_tls {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Security::Tls).await })+
        }
    };
}

over_tcp_and_tls! {
    bytes_that_are_late_are_overtaken_by_those_of_other_connections_only,
    a_slow_network_is_slow,
    bytes_may_arrive_one_by_one,
    connections_that_end_at_any_byte_lose_and_repeat_nothing,
    a_connection_that_is_half_open_ends_by_its_silence,
    connections_that_are_accepted_and_ended_are_tried_again,
    a_partition_of_one_reader_or_of_both_heals_under_load,
    damaged_bytes_alter_messages_and_lose_and_repeat_none,
}

type Seen = Delivery<Number>;

/// What a reader has received of a publisher; each number must be a message or in a gap.
#[derive(Debug, Default)]
struct Account {
    next: u64,
    missed: u64,
    altered: u64,
}

impl Account {
    fn note(&mut self, seen: Seen) {
        match seen {
            Delivery::Msg(number) => {
                assert_eq!(number.sequence(), self.next, "in order, and each once");
                assert!(!number.redelivered(), "its process has not died");
                self.altered += u64::from(number.value != self.next);
                self.next += 1;
            }
            Delivery::Gap(gap) => {
                assert!(gap.exact(), "its publisher has not died");
                (self.next, self.missed) = (self.next + gap.count, self.missed + gap.count);
            }
        }
    }
}

/// A publisher on one host, and two readers on another: `near`, which gates the publisher, and
/// `aside`, which only observes. Each reader has its own proxy.
struct World {
    far: Running,
    readers: [Reader; 2],
    count: u64,
    _files: Box<dyn Any>,
}

struct Reader {
    proxy: Proxy,
    node: Running,
    seen: Receiver<Seen>,
    account: Account,
}

impl Reader {
    /// Takes the messages and gaps that have arrived.
    fn take(&mut self) {
        self.seen.try_iter().for_each(|seen| self.account.note(seen));
    }

    /// Returns how many connections of this reader have ended with an error.
    fn errors(&self) -> u64 {
        of_links(&self.node, "errors")
    }
}

/// How the connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Plain,
    #[cfg(feature = "tls")]
    Tls,
}

impl Security {
    /// Returns lines for the topology file, and the files that they name, which are removed on
    /// drop.
    fn files(self, name: &str) -> (String, Box<dyn Any>) {
        match self {
            Security::Plain => (String::new(), Box::new(name.to_owned())),
            #[cfg(feature = "tls")]
            Security::Tls => {
                let certificates = Certificates::of(name, &["far", "near", "aside"]);
                (certificates.section(), Box::new(certificates))
            }
        }
    }

    /// Returns how many bytes pass in one direction, at most, before the first message.
    fn beginning(self) -> usize {
        match self {
            Security::Plain => 600,
            #[cfg(feature = "tls")]
            Security::Tls => 2_000,
        }
    }
}

/// Returns an address of its own. Proxies listen until the process ends, so a long run with a host
/// for each would need too many hosts.
fn address() -> String {
    static HOST: LazyLock<String> = LazyLock::new(host);
    static PORT: AtomicU16 = AtomicU16::new(7400);
    format!("{}:{}", *HOST, PORT.fetch_add(1, Ordering::Relaxed))
}

impl World {
    fn start(security: Security, fault: Fault, seed: u64, count: u64) -> World {
        let own = address();
        let (lines, files) = security.files(&format!("faults-{}", own.replace(':', "-")));
        let start = |name: &str, address: &str, sender: Sender<Seen>| {
            let (taker, watcher) = (sender.clone(), sender);
            let node = Node::builder(name)
                .topology(Topology::parse("faults.toml", &topology(&own, address, &lines)).unwrap())
                .named_service("Counter", move || Source { count, stays: true })
                .service(move || Taker(taker.clone(), Some))
                .named_service("Watcher", move || Taker(watcher.clone(), Some));
            running::start(node)
        };
        let far = start("far", &own, channel().0);
        let readers = [("near", seed), ("aside", !seed)].map(|(name, seed)| {
            let address = address();
            let proxy = Proxy::suffering(&address, &own, fault.clone(), seed);
            let (sender, seen) = channel();
            let node = start(name, &address, sender);
            Reader { proxy, node, seen, account: Account::default() }
        });
        World { far, readers, count, _files: files }
    }

    /// Returns the numbers that the readers expect next.
    fn next(&self) -> [u64; 2] {
        self.readers.each_ref().map(|reader| reader.account.next)
    }

    /// Waits until the condition holds, and takes what arrives in the meantime.
    async fn until(&mut self, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let waiting = async {
            loop {
                self.readers.iter_mut().for_each(Reader::take);
                if holds(self) {
                    break;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), waiting).await.is_err() {
            let accounts = self.readers.each_ref().map(|reader| &reader.account);
            panic!("never: {what}: {accounts:?} of {}", self.count);
        }
    }

    /// Waits until each reader has seen all numbers, as messages or in gaps.
    async fn all_arrives(&mut self) {
        let count = self.count;
        let has_all = |reader: &Reader| reader.account.next == count;
        self.until("all numbers", |world| world.readers.iter().all(has_all)).await;
    }

    /// Ends all nodes on a good network, and checks their counters.
    async fn end(mut self) -> [Account; 2] {
        self.readers.iter().for_each(|reader| reader.proxy.heal());
        self.all_arrives().await;
        // A node that ends before it has confirmed them would be waited for.
        self.until("all is confirmed", |world| {
            let counters = world.far.counters();
            let mut readers = counters.iter().filter(|line| line.kind == Kind::Edge);
            readers.all(|line| accounted(line) == world.count)
        })
        .await;
        let mut accounts = Vec::new();
        for mut reader in self.readers {
            end(reader.node).await;
            reader.seen.try_iter().for_each(|seen| reader.account.note(seen));
            assert_eq!(reader.account.next, self.count);
            accounts.push(reader.account);
        }
        end(self.far).await;
        assert_eq!(accounts[0].missed, 0, "its publisher waits for it");
        accounts.try_into().unwrap()
    }
}

/// Ends a node, and checks its counters.
async fn end(node: Running) {
    conserved(&within(running::end(node)).await.counters);
}

/// Returns the file of one reader, which reaches `far` at this address. The links have short
/// timeouts, and a window that is soon full.
fn topology(own: &str, address: &str, lines: &str) -> String {
    format!(
        r#"
{lines}
[host.here]
address = "192.0.2.1"
[host.there]
address = "192.0.2.2"
[node.far]
host = "there"
address = "{address}"
listen = "{own}"
services = ["Counter"]
[node.near]
host = "here"
services = ["Taker"]
[node.aside]
host = "here"
services = ["Watcher"]
[topic.numbers]
capacity = 64
[subscription."Watcher.numbers"]
policy = "drop-oldest"
[link.default]
retry = "1ms"
max_retry = "10ms"
keep_alive = "50ms"
silence = "300ms"
handshake = "300ms"
window = "8 KiB"
"#
    )
}

/// Checks that all numbers arrive on a network with this fault, with each seed. The two readers
/// together must need at least this many connections.
#[expect(clippy::print_stdout, reason = "the seed is what one needs to see it again")]
async fn weathers(security: Security, fault: Fault, count: u64, connections: u64) {
    let mut tried = 0;
    for seed in seeds("FAULT_SEEDS", 2) {
        println!("{security:?}, {fault:?}, seed {seed}");
        let mut world = World::start(security, fault.clone(), seed, count);
        world.all_arrives().await;
        tried += world.readers.iter().map(|reader| reader.proxy.connections()).sum::<u64>();
        world.end().await;
    }
    // Too few connections mean that the fault did not occur, and the run proves nothing.
    assert!(tried >= connections || seeds("FAULT_SEEDS", 2).start > 0, "{fault:?}: {tried}");
}

async fn bytes_that_are_late_are_overtaken_by_those_of_other_connections_only(security: Security) {
    weathers(security, Fault::Delay(0..3000), 5_000, 1).await;
}

async fn a_slow_network_is_slow(security: Security) {
    weathers(security, Fault::Throttle(500), 3_000, 1).await;
}

async fn bytes_may_arrive_one_by_one(security: Security) {
    weathers(security, Fault::Dribble, 1_000, 1).await;
}

async fn connections_that_end_at_any_byte_lose_and_repeat_nothing(security: Security) {
    for end in [End::Fin, End::Reset] {
        weathers(security, Fault::Cut { after: 0..8_000, end }, 60_000, 20).await;
        // Most of these connections end before the first message.
        weathers(security, Fault::Cut { after: 0..security.beginning(), end }, 50, 10).await;
    }
}

async fn a_connection_that_is_half_open_ends_by_its_silence(security: Security) {
    weathers(security, Fault::Stall { after: 0..40_000 }, 3_000, 8).await;
}

async fn connections_that_are_accepted_and_ended_are_tried_again(security: Security) {
    for end in [End::Fin, End::Reset] {
        weathers(security, Fault::Refuse { connections: 20, end }, 1_000, 84).await;
    }
}

/// Each partition lasts until its readers have given up their connections. The bytes that were held
/// arrive only then.
#[expect(clippy::print_stdout, reason = "the seed is what one needs to see it again")]
async fn a_partition_of_one_reader_or_of_both_heals_under_load(security: Security) {
    let mut missed = 0;
    for seed in seeds("FAULT_SEEDS", 2) {
        println!("partition, seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::start(security, Fault::None, seed, 100_000);
        // The parted readers: both, and each of them alone.
        for parted in [[true, true], [true, false], [false, true]] {
            // Only a connected reader has a connection to lose, so this waits until both make
            // progress.
            let [near, aside] = world.next();
            let next = (near + random.u64(100..3_000)).min(world.count);
            world
                .until("progress", |world| {
                    let [near, beside] = world.next();
                    near >= next && beside > aside.min(world.count - 1)
                })
                .await;
            let parts = |world: &World, act: fn(&Proxy)| {
                let readers = world.readers.iter().zip(parted).filter(|(_, parted)| *parted);
                readers.for_each(|(reader, _)| act(&reader.proxy));
            };
            let before = world.readers.each_ref().map(Reader::errors);
            parts(&world, Proxy::hold);
            world
                .until("the partition is noticed", |world| {
                    let mut readers = world.readers.iter().zip(parted).zip(before);
                    readers.all(|((reader, parted), before)| !parted || reader.errors() > before)
                })
                .await;
            parts(&world, Proxy::release);
        }
        let [_, aside] = world.end().await;
        missed += aside.missed;
    }
    // The publisher continued without `aside` while it was away.
    assert!(missed > 0);
}

/// Damage begins after the handshake. From there on, a damaged connection alters messages or ends:
/// see `docs/security.md`.
#[expect(clippy::print_stdout, reason = "the seed is what one needs to see it again")]
async fn damaged_bytes_alter_messages_and_lose_and_repeat_none(security: Security) {
    let mut altered = 0;
    for seed in seeds("FAULT_SEEDS", 2) {
        println!("damage, seed {seed}");
        let mut world =
            World::start(security, Fault::Damage { after: 500, one_in: 2_000 }, seed, 20_000);
        let (mut checks, mut before) = (0, [0; 2]);
        world
            .until("both have suffered", |world| {
                // A damaged length may make a connection wait for bytes that never come, so it is
                // cut.
                checks += 1;
                if checks % 50 == 0 {
                    let before = std::mem::replace(&mut before, world.next());
                    let stalled = |(reader, before): &(&Reader, _)| reader.account.next == *before;
                    let stalled = world.readers.iter().zip(before).filter(stalled);
                    stalled.for_each(|(reader, _)| reader.proxy.cut());
                }
                world.readers.iter().all(|reader| reader.proxy.connections() > 10)
            })
            .await;
        altered += world.end().await.iter().map(|account| account.altered).sum::<u64>();
    }
    // TLS finds all damage.
    assert_eq!(altered > 0, security == Security::Plain);
}
