//! The speed of topics over Zenoh, beside Zenoh by hand, on loopback with two sessions in one
//! process. `cargo bench` prints each row with its goal.
#![expect(clippy::disallowed_methods, reason = "real time is measured")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mycelium::{Context, Delivery, Node, Policy, Result, Running, Topology, message, service};
use mycelium_tokio::Tokio;
use mycelium_zenoh::Zenoh;
use zenoh::sample::Sample;
use zenoh::{Config, Session, Wait};

/// How long each column of one way runs, without its warm-up.
const TIME: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
const ROUNDS: usize = 5;
const TRIPS: u64 = 5000;

#[message(topic = "pings", id = 1)]
struct Ping {
    number: u64,
    rest: [u64; 7],
}

#[message(topic = "pongs", id = 2)]
struct Pong {
    number: u64,
    rest: [u64; 7],
}

fn ping(number: u64) -> Ping {
    Ping { number, rest: [number; 7] }
}

/// Emits as fast as it can.
struct Flood;

#[service(emits(Ping))]
impl Flood {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0.. {
            ctx.emit(ping(number)).await?;
        }
        Ok(())
    }
}

struct Counter(Arc<AtomicU64>);

#[service(reads(Ping))]
impl Counter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut pings = ctx.subscribe::<Ping>()?;
        let mut count = 0;
        while let Some(delivery) = pings.recv().await {
            if let Delivery::Msg(_) = delivery {
                count += 1;
                self.0.store(count, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Sends a ping, waits for its pong, and so on; tells how long each trip took.
struct Asker(mpsc::Sender<Vec<Duration>>);

#[service(emits(Ping), reads(Pong))]
impl Asker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut pongs = ctx.subscribe::<Pong>()?;
        // Until the other node is found.
        loop {
            ctx.emit(ping(u64::MAX)).await?;
            if let Ok(Some(Delivery::Msg(_))) =
                tokio::time::timeout(Duration::from_millis(100), pongs.recv()).await
            {
                break;
            }
        }
        let mut trips = Vec::new();
        for number in 0..TRIPS {
            let begun = Instant::now();
            ctx.emit(ping(number)).await?;
            while let Some(delivery) = pongs.recv().await {
                if matches!(delivery, Delivery::Msg(pong) if pong.number == number) {
                    break;
                }
            }
            trips.push(begun.elapsed());
        }
        let _ = self.0.send(trips);
        Ok(())
    }
}

struct Echo;

#[service(reads(Ping), emits(Pong))]
impl Echo {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut pings = ctx.subscribe::<Ping>()?;
        while let Some(delivery) = pings.recv().await {
            if let Delivery::Msg(ping) = delivery {
                ctx.emit(Pong { number: ping.number, rest: ping.rest }).await?;
            }
        }
        Ok(())
    }
}

/// Returns the configurations of two sessions that only find each other.
fn configs() -> [String; 2] {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let quiet = "scouting: { multicast: { enabled: false }, gossip: { enabled: false } }";
    [
        format!("{{ listen: {{ endpoints: [\"tcp/{at}\"] }}, {quiet} }}"),
        format!(
            "{{ listen: {{ endpoints: [\"tcp/127.0.0.1:0\"] }}, \
             connect: {{ endpoints: [\"tcp/{at}\"] }}, {quiet} }}"
        ),
    ]
}

/// Returns the messages per second that a counter counts after its warm-up.
fn rate(count: impl Fn() -> u64) -> f64 {
    std::thread::sleep(WARM_UP);
    let (begun, before) = (Instant::now(), count());
    std::thread::sleep(TIME);
    (count() - before) as f64 / begun.elapsed().as_secs_f64()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a node on a thread of its own until the returned function is called.
fn run(node: Node) -> impl FnOnce() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        runtime().block_on(async {
            let running: Running = node.start(Tokio::current().unwrap()).unwrap();
            let _ = stopped.await;
            running.shutdown();
            let _ = running.join().await;
        });
    });
    move || {
        drop(stop);
        thread.join().unwrap();
    }
}

fn topology(node: &str) -> Topology {
    Topology::parse("bench.toml", &format!("[node.{node}]\nshutdown = \"1s\"\n")).unwrap()
}

fn services_one_way() -> f64 {
    let [listens, connects] = configs();
    let count = Arc::<AtomicU64>::default();
    let counting = count.clone();
    let there = Node::builder("there").service(move || Counter(counting.clone()));
    let there = there.subscription("Counter", "pings", Policy::DropOldest);
    let there = there.transport(Zenoh::from_json5(&listens), &[], &["pings"]);
    let stop_there = run(there.build().unwrap());
    let here = Node::builder("here").topology(topology("here")).service(|| Flood);
    let here = here.transport(Zenoh::from_json5(&connects), &["pings"], &[]);
    let stop_here = run(here.build().unwrap());
    while count.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let rate = rate(|| count.load(Ordering::Relaxed));
    stop_here();
    stop_there();
    rate
}

fn open(config: &str) -> Session {
    zenoh::open(Config::from_json5(config).unwrap()).wait().unwrap()
}

/// Puts `bytes` again and again. Returns the bytes per second that arrive, by 64.
fn by_hand_one_way(bytes: usize) -> f64 {
    let [listens, connects] = configs();
    let (there, here) = (open(&listens), open(&connects));
    let count = Arc::<AtomicU64>::default();
    let counting = count.clone();
    let per_put = (bytes / 64) as u64;
    let take = move |sample: Sample| {
        let bytes = sample.payload().to_bytes();
        counting.fetch_add(bytes.len() as u64 / 64, Ordering::Relaxed);
    };
    there.declare_subscriber("hand/pings").callback(take).background().wait().unwrap();
    let stops = Arc::<std::sync::atomic::AtomicBool>::default();
    let stopping = stops.clone();
    let sender = std::thread::spawn(move || {
        let publisher = here.declare_publisher("hand/pings").wait().unwrap();
        while !stopping.load(Ordering::Relaxed) {
            publisher.put(vec![7u8; bytes]).wait().unwrap();
        }
        drop(publisher);
        here.close().wait().unwrap();
    });
    while count.load(Ordering::Relaxed) < per_put {
        std::thread::yield_now();
    }
    let rate = rate(|| count.load(Ordering::Relaxed));
    stops.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    let _ = there.close().wait();
    rate
}

fn median(mut trips: Vec<Duration>) -> f64 {
    trips.sort();
    trips[trips.len() / 2].as_secs_f64() * 1e6
}

fn services_trip() -> f64 {
    let [listens, connects] = configs();
    let there = Node::builder("there").service(|| Echo);
    let there = there.subscription("Echo", "pings", Policy::DropOldest);
    let there = there.transport(Zenoh::from_json5(&listens), &["pongs"], &["pings"]);
    let stop_there = run(there.build().unwrap());
    let (sender, trips) = mpsc::channel();
    let here = Node::builder("here").service(move || Asker(sender.clone()));
    let here = here.subscription("Asker", "pongs", Policy::DropOldest);
    let here = here.transport(Zenoh::from_json5(&connects), &["pings"], &["pongs"]);
    let stop_here = run(here.build().unwrap());
    let trips = trips.recv().unwrap();
    stop_here();
    stop_there();
    median(trips)
}

/// Zenoh by hand: each side in a task of tokio, which its callback wakes by a channel.
fn by_hand_trip() -> f64 {
    let [listens, connects] = configs();
    let side = |config: String, reads: &'static str, writes: &'static str, asks: bool| {
        std::thread::spawn(move || {
            let session = open(&config);
            let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
            let take = move |sample: Sample| _ = sender.send(sample.payload().to_bytes().to_vec());
            session.declare_subscriber(reads).callback(take).background().wait().unwrap();
            let publisher = session.declare_publisher(writes).wait().unwrap();
            // Puts are made in place: they panic in a runtime of one thread.
            let put = |bytes: Vec<u8>| publisher.put(bytes).wait().unwrap();
            let runtime = runtime();
            let mut next = || runtime.block_on(received.recv());
            if !asks {
                while let Some(bytes) = next() {
                    if bytes.is_empty() {
                        break;
                    }
                    put(bytes);
                }
                return Vec::new();
            }
            while !publisher.matching_status().wait().unwrap().matching() {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(200));
            let mut trips = Vec::new();
            for number in 0..TRIPS {
                let begun = Instant::now();
                put(vec![number as u8; 64]);
                next().unwrap();
                trips.push(begun.elapsed());
            }
            put(Vec::new());
            std::thread::sleep(Duration::from_millis(100));
            trips
        })
    };
    let echo = side(listens, "hand/pings", "hand/pongs", false);
    let asker = side(connects, "hand/pongs", "hand/pings", true);
    let trips = asker.join().unwrap();
    echo.join().unwrap();
    median(trips)
}

fn row(name: &str, ours: &[f64], theirs: &[f64], goal: f64, is_most: bool) {
    let mut ratios: Vec<f64> =
        ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    ratios.sort_by(f64::total_cmp);
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let ratio = ratios[ratios.len() / 2];
    let met = if is_most { ratio <= goal } else { ratio >= goal };
    let (sign, met) = (if is_most { "<=" } else { ">=" }, if met { "met" } else { "missed" });
    println!(
        "{name}: ours {:.1}, by hand {:.1}: {ratio:.2} ({:.2} to {:.2}), goal {sign} {goal}: {met}",
        middle(ours.to_vec()),
        middle(theirs.to_vec()),
        ratios[0],
        ratios[ratios.len() - 1],
    );
}

fn main() {
    // The bytes of a packet of 64-byte messages.
    let batch = 32 * 1024;
    let [mut ours, mut single, mut batches] = [const { Vec::new() }; 3];
    let [mut trips, mut trips_by_hand] = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        ours.push(services_one_way() / 1e3);
        single.push(by_hand_one_way(64) / 1e3);
        // Each message of ours takes 72 bytes of a packet: a run has whole slots.
        batches.push(by_hand_one_way(batch) / 1e3 * 64.0 / 72.0);
        trips.push(services_trip());
        trips_by_hand.push(by_hand_trip());
    }
    row("one way, 64 B, thousand a second, beside one put a message", &ours, &single, 3.0, false);
    row("one way, 64 B, thousand a second, beside the same batches", &ours, &batches, 0.8, false);
    row("round trip, 64 B, microseconds", &trips, &trips_by_hand, 1.15, true);
}
