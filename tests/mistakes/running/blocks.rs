//! A service that blocks its thread.
//!
//! Move the work to `ctx.blocking(|| ..).await`, or wait with `ctx.sleep(..).await?`.

use crate::shared::*;

struct Slow;

#[service(reads(Tick))]
impl Slow {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        block_until_it_is_seen(Duration::from_millis(500));
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
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
