//! The speed of topics over NATS, beside its client by hand, with a server on loopback that the
//! variable `NATS_SERVER` names. `cargo bench` prints each row with its goal.
#![expect(clippy::disallowed_methods, reason = "real time is measured")]

#[path = "../../zenoh/benches/common/services.rs"]
mod services;

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mycelium_nats::{JetStream, Nats};

use crate::services::{
    ROUNDS, TRIPS, median, rate, row, runtime, services_emit, services_one_way, services_trip,
};

/// How many packets are on their way to the storage by hand.
const IN_FLIGHT: usize = 1000;

/// A server that keeps its streams in a directory of its own.
struct Server {
    url: String,
    directory: std::path::PathBuf,
    child: Child,
}

impl Server {
    fn start() -> Server {
        let program = std::env::var_os("NATS_SERVER").expect("the variable NATS_SERVER");
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory = std::env::temp_dir().join(format!("mycelium-nats-bench-{}", at.port()));
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "-p", &at.port().to_string(), "-js", "-sd"]);
        let child = command.arg(&directory).stderr(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(at).is_err() {
            std::thread::yield_now();
        }
        Server { url: format!("nats://{at}"), directory, child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs a task on a thread of its own until `stops`.
fn by_hand<F: Future<Output = ()>>(
    task: impl FnOnce(Arc<AtomicBool>) -> F + Send + 'static,
) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let stops = Arc::<AtomicBool>::default();
    let stopping = stops.clone();
    (stops, std::thread::spawn(move || runtime().block_on(task(stopping))))
}

/// Publishes `bytes` again and again. Returns the messages of 64 bytes per second that arrive.
fn by_hand_one_way(bytes: usize) -> f64 {
    let server = Server::start();
    let (url, other_url) = (server.url.clone(), server.url.clone());
    let count = Arc::<AtomicU64>::default();
    let counting = count.clone();
    let (stops_there, there) = by_hand(async move |stops| {
        let client = async_nats::connect(url).await.unwrap();
        let mut pings = client.subscribe("pings").await.unwrap();
        client.flush().await.unwrap();
        while let Some(message) = pings.next().await {
            counting.fetch_add(message.payload.len() as u64 / 64, Ordering::Relaxed);
            if stops.load(Ordering::Relaxed) {
                break;
            }
        }
    });
    let (stops, here) = by_hand(async move |stops| {
        let client = async_nats::connect(other_url).await.unwrap();
        while !stops.load(Ordering::Relaxed) {
            client.publish("pings", vec![7; bytes].into()).await.unwrap();
        }
        let _ = client.flush().await;
    });
    while count.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let rate = rate(|| count.load(Ordering::Relaxed));
    stops_there.store(true, Ordering::Relaxed);
    there.join().unwrap();
    stops.store(true, Ordering::Relaxed);
    here.join().unwrap();
    rate
}

fn by_hand_trip() -> f64 {
    let server = Server::start();
    let url = server.url.clone();
    let (stops, echo) = by_hand(async move |stops| {
        let client = async_nats::connect(url).await.unwrap();
        let mut pings = client.subscribe("pings").await.unwrap();
        while let Some(ping) = pings.next().await {
            client.publish("pongs", ping.payload).await.unwrap();
            if stops.load(Ordering::Relaxed) {
                let _ = client.flush().await;
                break;
            }
        }
    });
    let trips = runtime().block_on(async {
        let client = async_nats::connect(&server.url).await.unwrap();
        let mut pongs = client.subscribe("pongs").await.unwrap();
        let ping = async || client.publish("pings", vec![7; 64].into()).await.unwrap();
        loop {
            ping().await;
            let next = tokio::time::timeout(Duration::from_millis(100), pongs.next());
            if next.await.is_ok() {
                break;
            }
        }
        let mut trips = Vec::new();
        for number in 0..TRIPS {
            if number == TRIPS - 1 {
                stops.store(true, Ordering::Relaxed);
            }
            let begun = Instant::now();
            ping().await;
            pongs.next().await.unwrap();
            trips.push(begun.elapsed());
        }
        trips
    });
    echo.join().unwrap();
    median(trips)
}

/// Stores `bytes` again and again, many at once. Returns the messages of 64 bytes per second that
/// the server has confirmed.
fn by_hand_stored(bytes: usize) -> f64 {
    let server = Server::start();
    let url = server.url.clone();
    let count = Arc::<AtomicU64>::default();
    let counting = count.clone();
    let (stops, here) = by_hand(async move |stops| {
        let context = jetstream::new(async_nats::connect(url).await.unwrap());
        let config = Config {
            name: "pings".to_owned(),
            subjects: vec!["pings".to_owned()],
            ..Config::default()
        };
        context.create_stream(config).await.unwrap();
        let mut stored = FuturesUnordered::new();
        while !stops.load(Ordering::Relaxed) {
            let ack = context.publish("pings", Bytes::from(vec![7; bytes])).await.unwrap();
            stored.push(ack.into_future());
            if stored.len() >= IN_FLIGHT {
                stored.next().await.unwrap().unwrap();
                counting.fetch_add(bytes as u64 / 64, Ordering::Relaxed);
            }
        }
    });
    let rate = rate(|| count.load(Ordering::Relaxed));
    stops.store(true, Ordering::Relaxed);
    here.join().unwrap();
    rate
}

/// Returns the messages per second that a service has stored, and the bytes of its packets.
fn services_stored() -> (f64, usize) {
    let server = Server::start();
    let rate = services_emit(JetStream::server(&server.url));
    let state = runtime().block_on(async {
        let context = jetstream::new(async_nats::connect(&server.url).await.unwrap());
        let stream = context.get_stream("mycelium-stored-pings").await.unwrap();
        stream.cached_info().state.clone()
    });
    (rate, (state.bytes / state.messages) as usize)
}

fn main() {
    // The bytes of a packet of 64-byte messages.
    let batch = 32 * 1024;
    // Each message of ours takes 72 bytes of a packet: a run has whole slots.
    let in_packets = 64.0 / 72.0;
    let [mut ours, mut single, mut batches] = [const { Vec::new() }; 3];
    let [mut trips, mut trips_by_hand] = [const { Vec::new() }; 2];
    let [mut stored, mut stored_by_hand] = [const { Vec::new() }; 2];
    let mut packets = Vec::new();
    for _ in 0..ROUNDS {
        let server = Server::start();
        let both = || [Nats::server(&server.url), Nats::server(&server.url)];
        ours.push(services_one_way(both()) / 1e3);
        trips.push(services_trip(both()));
        drop(server);
        single.push(by_hand_one_way(64) / 1e3);
        batches.push(by_hand_one_way(batch) / 1e3 * in_packets);
        trips_by_hand.push(by_hand_trip());
        let (rate, packet) = services_stored();
        stored.push(rate / 1e3);
        packets.push(packet);
        stored_by_hand.push(by_hand_stored(packet) / 1e3 * in_packets);
    }
    row("one way, 64 B, thousand a second, beside one message each", &ours, &single, 4.0, false);
    row("one way, 64 B, thousand a second, beside the same batches", &ours, &batches, 0.8, false);
    row("round trip, 64 B, microseconds", &trips, &trips_by_hand, 1.15, true);
    println!("stored in packets of {packets:?} bytes");
    row("stored, 64 B, thousand a second, same batches", &stored, &stored_by_hand, 0.9, false);
}
