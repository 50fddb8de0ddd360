//! A policy for a port, by its topic.
//!
//! Write `[subscription."Merge.left"]`, the service and its port.

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
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
