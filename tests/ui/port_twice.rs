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

#[service(reads(Tick as ticks), emits(Order as ticks))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.subscribe_on(Self::ticks)?;
        Ok(())
    }
}

fn main() {}
