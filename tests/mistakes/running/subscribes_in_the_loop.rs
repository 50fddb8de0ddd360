//! A subscription that is kept while another one is taken.
//!
//! Subscribe once, before the loop.

use crate::shared::*;

struct Loop;

#[service(reads(Tick))]
impl Loop {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut kept = Vec::new();
        for _ in 0..2 {
            let mut ticks = ctx.subscribe::<Tick>()?;
            ticks.recv().await;
            kept.push(ticks);
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Loop);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
