//! A reader that ends before its publisher.
//!
//! Receive until `recv` returns `None`.

use crate::shared::*;

struct Early;

#[service(reads(Tick))]
impl Early {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        ticks.recv().await;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Early);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
