//! A program on which to try the tool `mycelium`: a feed of ticks, a reader that keeps them all,
//! and one that takes the latest. `ticks.toml` places them in two nodes.
//!
//! ```text
//! ticks NODE [TOPOLOGY] [--count N] [--pause TIME] [--directory DIRECTORY] [--describe]
//! ```
//!
//! With `--count N` the feed sends N ticks as fast as it can, prints `sent N`, and waits for the
//! end. Without it, the feed sends a tick after each pause.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use mycelium::{Context, Node, Result, Topology, message, service};

/// The price of an instrument.
#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
    instrument: u64,
    price: f64,
}

/// The sum of some prices.
#[message(topic = "totals", id = 2)]
struct Total {
    ticks: u64,
    sum: f64,
}

/// A feed, and two readers of it.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// The node of the topology that this process is.
    node: String,
    /// The topology. Without one, all services are in this node.
    topology: Option<String>,
    /// How many ticks are sent, as fast as possible. Without it, they have no end.
    #[arg(long)]
    count: Option<u64>,
    /// The time between two ticks, if there is no `--count`.
    #[arg(long, default_value = "1ms", value_parser = humantime::parse_duration)]
    pause: Duration,
    /// Where the sockets of the nodes are.
    #[arg(long)]
    directory: Option<String>,
    /// Describe the services, and end.
    #[arg(long)]
    describe: bool,
}

struct Feed(Arguments);

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let count = self.0.count.unwrap_or(u64::MAX);
        for number in 0..count {
            let instrument = number % 3;
            let price = 100.0 + (number % 1_000) as f64 / 100.0;
            ctx.emit(Tick { number, instrument, price }).await?;
            if self.0.count.is_none() {
                ctx.sleep(self.0.pause).await?;
            }
            if ctx.is_shutting_down() {
                return Ok(());
            }
        }
        println!("sent {count}");
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// Reads every tick, and publishes a total of each hundred.
struct Keeper;

#[service(reads(Tick), emits(Total))]
impl Keeper {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        let mut total = Total { ticks: 0, sum: 0.0 };
        while let Some(delivery) = ticks.recv().await {
            let Some(tick) = delivery.message() else { continue };
            total = Total { ticks: total.ticks + 1, sum: total.sum + tick.price };
            if total.ticks.is_multiple_of(100) {
                ctx.emit(Total { ticks: total.ticks, sum: total.sum }).await?;
            }
        }
        Ok(())
    }
}

/// Reads a tick now and then, and misses those in between.
struct Display;

#[service(reads(Tick))]
impl Display {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {
            ctx.sleep(Duration::from_millis(10)).await?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments = Arguments::parse();
    let topology = arguments.topology.as_ref();
    let mut topology = topology.map_or_else(|| Ok(Topology::default()), Topology::load)?;
    if let Some(directory) = &arguments.directory {
        topology = topology.in_directory(directory);
    }
    let feed = arguments.clone();
    let node = Node::builder(&arguments.node)
        .topology(topology)
        .service(move || Feed(feed.clone()))
        .service(|| Keeper)
        .service(|| Display);
    if arguments.describe {
        println!("{}", node.describe().to_json());
        return Ok(());
    }
    let node = node.build()?;
    mycelium_smol::run(1, async move |executor| node.run(executor).await)??;
    Ok(())
}
