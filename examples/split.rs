//! A pipeline of three services over two processes, placed by `examples/split.toml`: run
//! `cargo run --example split collect` in one terminal, `.. split store` in another.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use mycelium::{Context, Node, Result, Topology, message, service};

#[message(topic = "samples", id = 1)]
struct Sample {
    value: u64,
}

#[message(topic = "peaks", id = 2)]
struct Peak {
    value: u64,
}

struct Sensor;
#[service(emits(Sample))]
impl Sensor {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for time in 0..1_000 {
            ctx.emit(Sample { value: time % 100 }).await?;
        }
        Ok(())
    }
}

struct Filter;
#[service(reads(Sample), emits(Peak))]
impl Filter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut samples = ctx.subscribe::<Sample>()?;
        while let Some(delivery) = samples.recv().await {
            if let Some(sample) = delivery.message().filter(|sample| sample.value >= 90) {
                ctx.emit(Peak { value: sample.value }).await?;
            }
        }
        Ok(())
    }
}

struct Store;
#[service(reads(Peak))]
impl Store {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut peaks, mut sum) = (ctx.subscribe::<Peak>()?, 0);
        while let Some(delivery) = peaks.recv().await {
            sum += delivery.message().map_or(0, |peak| peak.value);
        }
        println!("the sum of all peaks is {sum}");
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = std::env::args().nth(1).ok_or("expected the name of a node: collect or store")?;
    let node = Node::builder(&node).service(|| Sensor).service(|| Filter).service(|| Store);
    // `mycelium check` runs the program with `--describe`, perhaps in another directory.
    let node = node.describe_on_request();
    let node = node.topology(Topology::load("examples/split.toml")?).build()?;
    node.run(mycelium_tokio::Tokio::current()?).await?;
    Ok(())
}
