//! A declared subscription that is not used.
//!
//! Remove the message from `reads(..)`, or receive it.

use crate::shared::*;

struct Idle;

#[service(reads(Tick))]
impl Idle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.sleep(Duration::from_secs(6)).await?;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Idle);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
