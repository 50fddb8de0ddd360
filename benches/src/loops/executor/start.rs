//! The start of a node with many services.

use std::cell::Cell;
use std::time::{Duration, Instant};

use mycelium::{Context, Node, Result, Topology};
use mycelium_core::message;

use super::host::{Host, inside};
use crate::harness::{Column, Mismatch, Round};

/// The services of each topic.
const READERS: usize = 10;

thread_local! {
    /// The services of this thread's node that wait.
    static WAITING: Cell<usize> = const { Cell::new(0) };
}

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
}

struct Waiting;

#[mycelium::service(reads(Tick as input))]
impl Waiting {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe_on(Self::input)?;
        WAITING.set(WAITING.get() + 1);
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

struct Source;

#[mycelium::service(emits(Tick as output))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// A node in which each topic has one publisher and ten readers.
fn node(services: usize) -> Node {
    let text = "[node.main]\nmemory = \"256 MiB\"";
    let topology = Topology::parse("start.toml", text).expect("the text is a topology");
    let mut builder = Node::builder("main").topology(topology);
    for number in 0..services {
        let (name, topic) = (format!("waiting-{number}"), format!("t{}", number / READERS));
        builder = builder.named_service(&name, || Waiting).bind(&name, "input", &topic);
        if number % READERS == 0 {
            let name = format!("source-{number}");
            builder = builder.named_service(&name, || Source).bind(&name, "output", &topic);
        }
    }
    builder.build().expect("the services fit together")
}

/// An operation builds and starts a node, until all of its readers wait for messages.
pub(crate) fn start<H: Host>(name: &'static str, services: usize) -> Column {
    Column::new(name, move |operations| {
        let mut took = Duration::ZERO;
        for _ in 0..operations {
            let started = inside::<H, _>(async move |executor| {
                WAITING.set(0);
                let start = Instant::now();
                let running = node(services).start(executor).expect("the node has all it needs");
                while WAITING.get() < services {
                    tokio::task::yield_now().await;
                }
                let took = start.elapsed();
                running.shutdown();
                running.join().await.ok().map(|_| took)
            });
            let failed = || Mismatch::new(name, "the node failed");
            took += started.flatten().ok_or_else(failed)?;
        }
        Ok(Round::Total(took))
    })
}
