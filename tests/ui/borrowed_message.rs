use mycelium::{Context, Result, message, service};

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let tick = Tick { price: 1 };
        ctx.emit(&tick).await?;
        Ok(())
    }
}

fn main() {}
