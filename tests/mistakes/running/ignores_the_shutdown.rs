//! A service that ignores the shutdown.
//!
//! Wait with `ctx.sleep(..).await?`: it returns `ShuttingDown` when the node shuts down.

use crate::shared::*;

struct Deaf;

#[service(reads(Tick))]
impl Deaf {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        drop(ctx.subscribe::<Tick>()?);
        ctx.shutdown();
        std::future::pending().await
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Deaf);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
