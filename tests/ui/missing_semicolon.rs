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

#[service(reads(Tick))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let ticks = ctx.subscribe::<Tick>()?
        drop(ticks);
        Ok(())
    }
}

fn node() -> mycelium::Builder {
    mycelium::Node::builder("main").service(|| Strategy)
}

fn main() {}
