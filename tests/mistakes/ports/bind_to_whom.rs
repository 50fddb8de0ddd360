//! A binding for a service that does not exist.
//!
//! Write the name of the service's type, or the name that `named_service` gave it.

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
    let node = Node::builder("main").service(|| Feed).service(|| Merge);
    let node = node.bind("Merg", "left", "ticks").bind("Merge", "right", "ticks");
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
