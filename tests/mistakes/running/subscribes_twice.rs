//! Subscribing twice.
//!
//! Subscribe once, before the loop, and keep the subscription.

use crate::shared::*;

struct Twice;

#[service(reads(Tick))]
impl Twice {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut first = ctx.subscribe::<Tick>()?;
        let mut second = ctx.subscribe::<Tick>()?;
        while first.recv().await.is_some() && second.recv().await.is_some() {}
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Twice);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
