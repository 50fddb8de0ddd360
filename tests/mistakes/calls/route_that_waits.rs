//! `route` for a list with an `async` handler.
//!
//! Write `fast.route_async(tick).await`.

struct Journal;

impl AsyncHandler<Tick> for Journal {
    async fn handle(&mut self, tick: &Tick, _: &mut Out<'_>) -> Result<()> {
        Err(Error::msg(format!("no room for {}", tick.price)))
    }
}

routes! {
    Fast: { Tick => [async Journal] }
}

fn handle(fast: &mut Fast, tick: &Tick) -> Result<()> {
    fast.route(tick)
}
