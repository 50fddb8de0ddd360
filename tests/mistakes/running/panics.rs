//! A service that panics.
//!
//! Return an error with `?` in place of `expect`: it names the cause, and the service keeps its
//! state.

use crate::shared::*;

struct Broken;

#[service(reads(Tick))]
impl Broken {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            let tick = delivery.message().expect("no gaps");
            assert!(tick.price < 50, "a price of {} is too high", tick.price);
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Broken);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
