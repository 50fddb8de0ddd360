//! A permanent error.
//!
//! This is right if another try would fail in the same way: the node ends.

use crate::shared::*;

struct Broken;

#[service(reads(Tick))]
impl Broken {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let file = std::fs::read_to_string("prices.txt");
        let prices = file.map_err(|error| mycelium::Error::from(error).permanent())?;
        ctx.info("prices", prices.len());
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Broken);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
