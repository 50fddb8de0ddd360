use mycelium::*;

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
    fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

fn main() {}
