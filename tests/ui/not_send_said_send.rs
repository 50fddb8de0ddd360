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

#[service(send, reads(Tick))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let shared = std::rc::Rc::new(1);
        ctx.sleep(std::time::Duration::from_secs(*shared)).await?;
        drop(shared);
        Ok(())
    }
}

fn main() {}
