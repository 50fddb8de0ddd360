use mycelium::{Handler, Out, Result, message, routes};

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

struct Strategy;

impl Handler<Tick> for Strategy {
    fn handle(&mut self, _: &Tick, _: &mut Out<'_>) -> Result<()> {
        Ok(())
    }
}

routes! {
    Fast: { Tick => [Strategy] -> bus }
}

fn main() {
    let _ = Fast::new(Strategy).route(&Tick { price: 1 });
}
