//! What the programs with mistakes share.

pub(crate) use std::error::Error;
pub(crate) use std::time::Duration;

pub(crate) use mycelium::*;
pub(crate) use mycelium_tokio::Tokio;

/// Blocks the thread until the program has printed something. A user would block it for this time.
pub(crate) fn block_until_it_is_seen(_time: Duration) {
    while std::fs::read("output").is_ok_and(|output| output.is_empty()) {
        std::thread::yield_now();
    }
}

// Shown.
#[message(topic = "ticks", id = 1)]
pub(crate) struct Tick {
    pub(crate) price: u64,
}

pub(crate) struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for price in 1..=100 {
            ctx.emit(Tick { price }).await?;
        }
        Ok(())
    }
}

pub(crate) struct Sum;

#[service(reads(Tick))]
impl Sum {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

// The program.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Sum);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
