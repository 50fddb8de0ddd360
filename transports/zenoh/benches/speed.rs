//! The speed of topics over Zenoh, beside Zenoh by hand, on loopback with two sessions in one
//! process. `cargo bench` prints each row with its goal.
#![expect(clippy::disallowed_methods, reason = "real time is measured")]

#[path = "common/services.rs"]
mod services;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mycelium::{Context, Node, Policy, Result, Topology, message, service};
use mycelium_zenoh::Zenoh;
use zenoh::sample::Sample;
use zenoh::{Config, Session, Wait};

use crate::services::{
    ROUNDS, TRIPS, median, rate, row, run, runtime, services_one_way, services_trip,
};

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

fn peers() -> [Zenoh; 2] {
    configs().map(|config| Zenoh::from_json5(&config))
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

/// A long message.
#[message(topic = "images", id = 3, max = "1100 KiB")]
struct Image {
    pixels: Vec<u8>,
}

/// Emits long messages as fast as it can.
struct Camera(Vec<u8>);

#[service(emits(Image))]
impl Camera {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let image = Image { pixels: self.0.clone() };
        loop {
            ctx.emit_ref(&image).await?;
        }
    }
}

/// Counts them.
struct Screen(Arc<AtomicU64>);

#[service(reads(Image))]
impl Screen {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut images = ctx.subscribe::<Image>()?;
        while let Some(delivery) = images.recv_view().await {
            if delivery.message().is_some() {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Returns the long messages per second that a service gets from another one.
fn services_long(bytes: usize) -> f64 {
    let [there_over, here_over] = peers();
    let count = Arc::<AtomicU64>::default();
    let counting = count.clone();
    let topology = |node: &str| {
        let text = format!(
            "[node.{node}]\nshutdown = \"1s\"\n[topic.images]\ncapacity = 64\narena = \"64 MiB\"\n"
        );
        Topology::parse("bench.toml", &text).unwrap()
    };
    let there = Node::builder("there").topology(topology("there"));
    let there = there.service(move || Screen(counting.clone()));
    let there = there.subscription("Screen", "images", Policy::DropOldest);
    let stop_there = run(there.transport(there_over, &[], &["images"]).build().unwrap());
    let here = Node::builder("here").topology(topology("here"));
    let here = here.service(move || Camera(vec![7; bytes]));
    let stop_here = run(here.transport(here_over, &["images"], &[]).build().unwrap());
    while count.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let rate = rate(|| count.load(Ordering::Relaxed));
    stop_here();
    stop_there();
    rate
}

fn main() {
    let long = 1 << 20;
    // The bytes of a packet of 64-byte messages.
    let batch = 32 * 1024;
    let [mut ours, mut single, mut batches] = [const { Vec::new() }; 3];
    let [mut images, mut images_by_hand] = [const { Vec::new() }; 2];
    let [mut trips, mut trips_by_hand] = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        ours.push(services_one_way(peers()) / 1e3);
        single.push(by_hand_one_way(64) / 1e3);
        // Each message of ours takes 72 bytes of a packet: a run has whole slots.
        batches.push(by_hand_one_way(batch) / 1e3 * 64.0 / 72.0);
        images.push(services_long(long));
        images_by_hand.push(by_hand_one_way(long) * 64.0 / long as f64);
        trips.push(services_trip(peers()));
        trips_by_hand.push(by_hand_trip());
    }
    row("one way, 64 B, thousand a second, beside one put a message", &ours, &single, 3.0, false);
    row("one way, 64 B, thousand a second, beside the same batches", &ours, &batches, 0.8, false);
    row("one way, 1 MiB, a second", &images, &images_by_hand, 0.9, false);
    row("round trip, 64 B, microseconds", &trips, &trips_by_hand, 1.15, true);
}
