//! A port that is bound to a topic of another message.
//!
//! Bind it to a topic of its own message.

use crate::shared::*;

#[message(topic = "orders", id = 2)]
struct Order {
    price: u64,
}

struct Shop;

#[service(reads(Order as orders))]
impl Shop {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe_on(Self::orders)?;
        while orders.recv().await.is_some() {}
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Shop);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
