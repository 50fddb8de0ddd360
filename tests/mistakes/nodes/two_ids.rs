//! One id for two messages.
//!
//! Write another id: each message of the system has its own.

use crate::shared::*;

#[message(topic = "orders", id = 1)]
struct Order {
    price: u64,
}

struct Strategy;

#[service(reads(Tick), emits(Order))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Order { price: 1 }).await?;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Strategy);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
