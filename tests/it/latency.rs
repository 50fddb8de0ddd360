//! The latency of topics, through a node and through two nodes over each carrier, and the errors of
//! a share.
#![cfg(all(target_os = "linux", feature = "topology", feature = "metrics"))]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join;
use mycelium::counters::Latency;
use mycelium::{Context, Delivery, Node, Result, Topology, message, service};
use mycelium_executor::{Executor, PausedTime};
use mycelium_tokio::Tokio;
use tokio::sync::Notify;

use crate::executors::on_each_executor;
use crate::loopback::host;
use crate::support::Directory;

#[message(topic = "swaps", id = 1)]
struct Swap {
    number: u64,
}

#[message(topic = "blocks", id = 2)]
struct Block {
    bytes: [u64; 4096],
}

/// How many swaps there are; of blocks there are as many.
const SWAPS: u64 = 200;

/// Says when it has emitted a swap.
struct Feed(Arc<Notify>);

#[service(emits(Swap, Block))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..SWAPS {
            ctx.emit(Swap { number }).await?;
            ctx.emit(Block { bytes: [number; 4096] }).await?;
            self.0.notify_one();
        }
        Ok(())
    }
}

/// Begins to receive after a notification.
struct Screen(Arc<Notify>);

#[service(reads(Swap, Block))]
impl Screen {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut swaps, mut blocks) = (ctx.subscribe::<Swap>()?, ctx.subscribe::<Block>()?);
        self.0.notified().await;
        for number in 0..SWAPS {
            let Some(Delivery::Msg(swap)) = swaps.recv().await else { panic!("a swap") };
            let Some(Delivery::Msg(block)) = blocks.recv().await else { panic!("a block") };
            assert_eq!((swap.number, block.bytes), (number, [number; 4096]));
        }
        assert!(swaps.recv().await.is_none() && blocks.recv().await.is_none());
        Ok(())
    }
}

fn topology(text: &str) -> Topology {
    Topology::parse("t.toml", text).unwrap()
}

fn notify() -> Arc<Notify> {
    Arc::default()
}

#[tokio::test]
async fn the_time_until_a_service_receives_is_measured() {
    let (sent, begin) = (notify(), notify());
    let start = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let time = PausedTime::starting_at(Tokio::current().unwrap(), start);
    let (feed, screen) = (sent.clone(), begin.clone());
    let node = Node::builder("main")
        .service(move || Feed(feed.clone()))
        .service(move || Screen(screen.clone()))
        // The topology takes precedence.
        .latency_sample("swaps", 0.0)
        .topology(topology("[topic.swaps]\nlatency_sample = 1.0"))
        .build()
        .unwrap();
    let running = node.start(time.clone()).unwrap();
    sent.notified().await;
    time.advance(Duration::from_millis(5));
    begin.notify_one();
    let report = running.join().await.unwrap();
    let [Latency { topic, reader, nanoseconds, ahead, .. }] = &Latency::of(&report.counters)[..]
    else {
        panic!("one topic is measured: {:?}", report.counters)
    };
    assert_eq!((&**topic, &**reader, *ahead), ("swaps", "Screen", 0));
    // Those that were sent before the time moved, and those after.
    assert_eq!(nanoseconds.count(), SWAPS);
    assert_eq!(nanoseconds.most(), Some(5_000_000));
    assert_eq!(nanoseconds.sum() % 5_000_000, 0);
}

/// The feed in one node and the screen in another one, over this carrier. Blocks are sent in
/// fragments.
async fn between_nodes(executor: impl Executor + Clone, transport: &str, name: &str) {
    let directory = Directory::new(&format!("latency-{name}-{transport}"));
    let text = format!(
        r#"
[node.far]
services = ["Feed"]
address = "{}:7400"
[node.near]
services = ["Screen"]
address = "{}:7400"
[topic.swaps]
latency_sample = 1
[topic.blocks]
capacity = 32
latency_sample = 0.5
[link.default]
transport = "{transport}"
buffer = "16 KiB"
retry = "1ms"
max_retry = "20ms"
"#,
        host(),
        host()
    );
    let start = |node: &str| {
        let (sent, begin) = (notify(), notify());
        begin.notify_one();
        let builder = Node::builder(node).topology(topology(&text).in_directory(&directory.0));
        let builder = builder.service(move || Feed(sent.clone()));
        let node = builder.service(move || Screen(begin.clone())).build().unwrap();
        node.start(executor.clone()).unwrap()
    };
    let (far, near) = (start("far"), start("near"));
    let (far, near) = join(far.join(), near.join()).await;
    assert_eq!(Latency::of(&far.unwrap().counters), [], "nobody reads there");
    let near = Latency::of(&near.unwrap().counters);
    let count = |topic: &str| {
        let latency = near.iter().find(|latency| latency.topic == topic).unwrap();
        assert_eq!(latency.reader, "Screen");
        latency.nanoseconds.count()
    };
    assert_eq!(count("swaps"), SWAPS, "{transport}");
    // It has a standard deviation of 7.
    assert!((60..140).contains(&count("blocks")), "{transport}: {}", count("blocks"));
}

#[test]
fn latency_is_measured_over_each_carrier_on_each_executor() {
    on_each_executor(async |executor, name| {
        for transport in ["unix", "shm", "tcp"] {
            between_nodes(executor.clone(), transport, name).await;
        }
    });
}
