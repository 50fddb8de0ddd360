//! The latency of topics, through two nodes over each carrier.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use futures_util::future::join;
use mycelium::counters::Latency;
use mycelium::{Context, Delivery, Node, Result, Topology, message, service};
use mycelium_executor::Executor;

use crate::executors::on_each_executor;
use crate::numbers::{Number, two_nodes};
use crate::support::Directory;

#[message(topic = "blocks", id = 2)]
struct Block {
    bytes: [u64; 4096],
}

/// How many numbers there are; of blocks there are as many.
const COUNT: u64 = 200;

struct Feed;

#[service(emits(Number, Block))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..COUNT {
            ctx.emit(Number { value }).await?;
            ctx.emit(Block { bytes: [value; 4096] }).await?;
        }
        Ok(())
    }
}

struct Screen;

#[service(reads(Number, Block))]
impl Screen {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut numbers, mut blocks) = (ctx.subscribe::<Number>()?, ctx.subscribe::<Block>()?);
        for value in 0..COUNT {
            let Some(Delivery::Msg(number)) = numbers.recv().await else { panic!("a number") };
            let Some(Delivery::Msg(block)) = blocks.recv().await else { panic!("a block") };
            assert_eq!((number.value, block.bytes), (value, [value; 4096]));
        }
        assert!(numbers.recv().await.is_none() && blocks.recv().await.is_none());
        Ok(())
    }
}

/// The feed in one node and the screen in another one, over this carrier. Blocks are sent in
/// fragments.
async fn between_nodes(executor: impl Executor + Clone, transport: &str, name: &str) {
    let directory = Directory::new(&format!("latency-{name}-{transport}"));
    let text = two_nodes("[\"Feed\"]", "[\"Screen\"]", transport);
    let keys = "buffer = \"16 KiB\"\n[topic.numbers]\nlatency_sample = 1\n[topic.blocks]\n\
                capacity = 32\nlatency_sample = 0.5\n";
    let text = text + keys;
    let start = |node: &str| {
        let topology = Topology::parse("t.toml", &text).unwrap().in_directory(&directory.0);
        let node = Node::builder(node).topology(topology).service(|| Feed).service(|| Screen);
        node.build().unwrap().start(executor.clone()).unwrap()
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
    assert_eq!(count("numbers"), COUNT, "{transport}");
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
