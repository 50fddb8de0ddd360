#![deny(unused_must_use)]

use mycelium::*;

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: 1 });
        Ok(())
    }
}

fn main() {}
