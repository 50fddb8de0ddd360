//! A service that fails at each message.
//!
//! Handle the error in the service if the next message can be handled, or mark it as
//! `permanent()` if another try cannot help.

use crate::shared::*;

struct Broken;

#[service(reads(Tick))]
impl Broken {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            if delivery.message().is_some() {
                return Err(mycelium::Error::msg("the database is gone"));
            }
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
