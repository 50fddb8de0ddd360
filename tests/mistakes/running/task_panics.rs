//! A child task that panics.
//!
//! Remove the panic, or return a `Result` from the task.

use crate::shared::*;

struct Parent;

#[service(reads(Tick))]
impl Parent {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let price: u64 = ctx.spawn(async { panic!("no price") }).await?;
        ctx.info("price", price);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Parent);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
