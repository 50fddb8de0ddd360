//! Handlers that do not fit the list of `routes!`, or a fast handler that waits.

use mycelium::route::{AsyncHandler, Handler, Out};
use mycelium::*;

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

struct Journal;

impl AsyncHandler<Tick> for Journal {
    async fn handle(&mut self, _: &Tick, _: &mut Out<'_>) -> Result<()> {
        Ok(())
    }
}

struct Risk;

routes! {
    NoHandler: { Tick => [Strategy, Risk] }
}

routes! {
    NotAsync: { Tick => [async Strategy] }
}

routes! {
    Waits: { Tick => [async Journal] }
}

routes! {
    WithBus: { Tick => [Strategy] -> bus }
}

fn main() {
    let _ = Waits::new(Journal).route(&Tick { price: 1 });
    let _ = WithBus::new(Strategy).route(&Tick { price: 1 });
    Node::builder("main").fast_handler("check", |tick: &Tick| async {
        save(tick.price).await
    });
}

async fn save(_price: u64) -> Result<()> {
    Ok(())
}
