//! A message on the port of another message.
//!
//! Write the port of this message.

#[message(topic = "orders", id = 2)]
struct Order {
    price: u64,
}

struct Feed;

#[service(emits(Tick as ticks, Order as orders))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit_on(Self::orders, Tick { price: 1 }).await?;
        Ok(())
    }
}
