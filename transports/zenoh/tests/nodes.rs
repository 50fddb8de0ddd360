//! Two nodes that share a topic over Zenoh, each with a session of its own, on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mycelium::{Context, Delivery, Node, Policy, Result, Running, message, service};
use mycelium_tokio::Tokio;
use mycelium_zenoh::Zenoh;

#[message(topic = "ticks", id = 1)]
#[derive(Debug, PartialEq)]
struct Tick {
    number: u64,
}

/// Emits this many ticks once somebody reads them, and one at last.
struct Clock {
    count: u64,
    found: Arc<AtomicU64>,
}

#[service(emits(Tick))]
impl Clock {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut number = 0;
        while self.found.load(Ordering::Relaxed) == 0 {
            ctx.emit(Tick { number }).await?;
            number += 1;
            ctx.sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..self.count {
            ctx.emit(Tick { number }).await?;
            number += 1;
        }
        Ok(())
    }
}

/// Counts messages and gaps, and remembers the first and the last number.
#[derive(Clone, Default)]
struct Found {
    messages: Arc<AtomicU64>,
    missed: Arc<AtomicU64>,
    first: Arc<AtomicU64>,
    next: Arc<AtomicU64>,
}

struct Reader(Found);

#[service(reads(Tick))]
impl Reader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            match delivery {
                Delivery::Msg(tick) => {
                    if self.0.messages.fetch_add(1, Ordering::Relaxed) == 0 {
                        self.0.first.store(tick.number, Ordering::Relaxed);
                    }
                    self.0.next.store(tick.number + 1, Ordering::Relaxed);
                }
                Delivery::Gap(gap) => drop(self.0.missed.fetch_add(gap.count, Ordering::Relaxed)),
            }
        }
        Ok(())
    }
}

/// Returns a peer that is found at this port of loopback, without multicast.
fn peer(listens: bool, port: u16) -> Zenoh {
    let role = if listens { "listen" } else { "connect" };
    let listen = if listens { "" } else { "listen: { endpoints: [\"tcp/127.0.0.1:0\"] }," };
    Zenoh::from_json5(&format!(
        "{{ {role}: {{ endpoints: [\"tcp/127.0.0.1:{port}\"] }}, {listen}
            scouting: {{ multicast: {{ enabled: false }} }} }}"
    ))
}

fn start(node: Node) -> Running {
    node.start(Tokio::current().unwrap()).unwrap()
}

fn reader(found: &Found, zenoh: Zenoh) -> Node {
    let found = found.clone();
    let node = Node::builder("there").service(move || Reader(found.clone()));
    let node = node.subscription("Reader", "ticks", Policy::DropOldest);
    node.transport(zenoh, &[], &["ticks"]).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_is_received_or_missed() {
    let found = Found::default();
    let there = start(reader(&found, peer(true, 17_440)));
    let messages = found.messages.clone();
    let clock = move || Clock { count: 100_000, found: messages.clone() };
    let here = Node::builder("main").service(clock);
    let here = start(here.transport(peer(false, 17_440), &["ticks"], &[]).build().unwrap());
    here.join().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let [messages, missed, first, next] =
                [&found.messages, &found.missed, &found.first, &found.next]
                    .map(|it| it.load(Ordering::Relaxed));
            if next - first == messages + missed && messages + missed > 100_000 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap_or_else(|_| {
        panic!("{:?}", [&found.messages, &found.missed, &found.first, &found.next])
    });
    println!("{} messages, {} missed", found.messages.load(Ordering::Relaxed), found.missed.load(Ordering::Relaxed));
    there.shutdown();
    there.join().await.unwrap();
}
