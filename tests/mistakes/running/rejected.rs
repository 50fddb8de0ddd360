//! A full queue with the policy `reject`.
//!
//! Match `EmitError` and decide what to do with the message that comes back in it; or write
//! `policy = "block"`.

use crate::shared::*;

struct Slow;

#[service(reads(Tick))]
impl Slow {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let ticks = ctx.subscribe::<Tick>()?;
        ctx.shutdown_requested().await;
        drop(ticks);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Slow);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
