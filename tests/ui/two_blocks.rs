use mycelium::{Context, Result, message, service};

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: self.price() }).await?;
        Ok(())
    }
}

#[service(emits(Tick))]
impl Feed {
    fn price(&self) -> u64 {
        1
    }
}

fn main() {}
