//! A port that is bound to a topic without a publisher.
//!
//! Write the topic of a publisher: this one is probably misspelt.

use crate::shared::*;

struct Merge;

#[service(reads(Tick as left, Tick as right))]
impl Merge {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut left, mut right) = (ctx.subscribe_on(Self::left)?, ctx.subscribe_on(Self::right)?);
        while left.recv().await.is_some() {}
        while right.recv().await.is_some() {}
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Merge);
    let running = node.build()?.start(Tokio::current()?)?;
    running.ready().await?;
    // It would run forever. The user presses Ctrl-C.
    running.shutdown();
    running.join().await?;
    Ok(())
}
