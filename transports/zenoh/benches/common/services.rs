//! Services over an engine: how fast messages go one way, and there and back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mycelium::{Context, Delivery, Node, Policy, Result, Running, Topology, message, service};
use mycelium_tokio::Tokio;
use mycelium_transports::seam::Transport;

/// How long each column of one way runs, without its warm-up.
const TIME: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
pub(crate) const ROUNDS: usize = 5;
pub(crate) const TRIPS: u64 = 5000;

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

/// Emits as fast as it can, and counts.
struct Flood(Arc<AtomicU64>);

#[service(emits(Ping))]
impl Flood {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0.. {
            ctx.emit(ping(number)).await?;
            self.0.store(number, Ordering::Relaxed);
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

/// Returns the messages per second that a counter counts after its warm-up.
pub(crate) fn rate(count: impl Fn() -> u64) -> f64 {
    std::thread::sleep(WARM_UP);
    let (begun, before) = (Instant::now(), count());
    std::thread::sleep(TIME);
    (count() - before) as f64 / begun.elapsed().as_secs_f64()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a node on a thread of its own until the returned function is called.
pub(crate) fn run(node: Node) -> impl FnOnce() {
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

pub(crate) fn topology(node: &str) -> Topology {
    Topology::parse(
        "bench.toml",
        &format!("[node.{node}]\nshutdown = \"1s\"\n[topic.pings]\ncapacity = 65536\n"),
    )
    .unwrap()
}

/// Starts a node that emits. Returns the number of messages that it has emitted, and how to end it.
fn flooding(over: impl Transport) -> (Arc<AtomicU64>, impl FnOnce()) {
    let count = Arc::<AtomicU64>::default();
    let counting = count.clone();
    let here = Node::builder("here").topology(topology("here"));
    let here = here.service(move || Flood(counting.clone())).transport(over, &["pings"], &[]);
    (count, run(here.build().unwrap()))
}

/// Returns the messages per second that a service emits.
#[allow(dead_code, reason = "not for each engine")]
pub(crate) fn services_emit(over: impl Transport) -> f64 {
    let (count, stop) = flooding(over);
    let rate = rate(|| count.load(Ordering::Relaxed));
    stop();
    rate
}

/// Returns the messages per second that a service gets from another one. The reader has the first
/// transport.
pub(crate) fn services_one_way([there_over, here_over]: [impl Transport; 2]) -> f64 {
    let count = Arc::<AtomicU64>::default();
    let counting = count.clone();
    let there = Node::builder("there")
        .topology(topology("there"))
        .service(move || Counter(counting.clone()));
    let there = there.subscription("Counter", "pings", Policy::DropOldest);
    let there = there.transport(there_over, &[], &["pings"]);
    let stop_there = run(there.build().unwrap());
    let (_, stop_here) = flooding(here_over);
    while count.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let rate = rate(|| count.load(Ordering::Relaxed));
    stop_here();
    stop_there();
    rate
}

pub(crate) fn median(mut trips: Vec<Duration>) -> f64 {
    trips.sort();
    trips[trips.len() / 2].as_secs_f64() * 1e6
}

/// Returns the time of a trip in microseconds. The transports are those of the service that answers
/// and of the one that asks.
pub(crate) fn services_trip([there_over, here_over]: [impl Transport; 2]) -> f64 {
    let there = Node::builder("there").topology(topology("there")).service(|| Echo);
    let there = there.subscription("Echo", "pings", Policy::DropOldest);
    let there = there.transport(there_over, &["pongs"], &["pings"]);
    let stop_there = run(there.build().unwrap());
    let (sender, trips) = mpsc::channel();
    let here = Node::builder("here").service(move || Asker(sender.clone()));
    let here = here.subscription("Asker", "pongs", Policy::DropOldest);
    let here = here.transport(here_over, &["pings"], &["pongs"]);
    let stop_here = run(here.build().unwrap());
    let trips = trips.recv().unwrap();
    stop_here();
    stop_there();
    median(trips)
}

pub(crate) fn row(name: &str, ours: &[f64], theirs: &[f64], goal: f64, is_most: bool) {
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
