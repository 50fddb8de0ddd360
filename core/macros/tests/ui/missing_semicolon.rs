//! A syntax error is one error: the service is there.

use mycelium::*;

#[message(topic = "ticks", id = 1)]
struct Tick {
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

fn node() -> Builder {
    Node::builder("main").service(|| Strategy)
}

fn main() {}
