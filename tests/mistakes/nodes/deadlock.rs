//! Services that wait for each other.
//!
//! Let one of the subscriptions drop messages: `policy = "drop-oldest"` or `"latest"` in the
//! topology.

use crate::shared::*;

#[message(topic = "orders", id = 2)]
struct Order {
    price: u64,
}

struct Strategy;

#[service(reads(Tick), emits(Order))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            let Some(tick) = delivery.message() else { continue };
            ctx.emit(Order { price: tick.price }).await?;
        }
        Ok(())
    }
}

struct Exchange;

#[service(reads(Order), emits(Tick))]
impl Exchange {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe::<Order>()?;
        while let Some(delivery) = orders.recv().await {
            let Some(order) = delivery.message() else { continue };
            ctx.emit(Tick { price: order.price }).await?;
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Strategy).service(|| Exchange);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
