use mycelium::{Context, Result, message, service};

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

#[message(topic = "orders", id = 2)]
struct Order {
    price: u64,
}

struct Strategy;

#[service(emits(Order))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.spawn(async move {
            let _ = ctx.emit(Order { price: 1 }).await;
        });
        Ok(())
    }
}

fn main() {}
