use mycelium::{AsyncHandler, Out, Result, routes};

struct Tick;

struct Journal;

impl AsyncHandler<Tick> for Journal {
    async fn handle(&mut self, _: &Tick, _: &mut Out<'_>) -> Result<()> {
        Ok(())
    }
}

routes! {
    Fast: { Tick => [async Journal] }
}

fn main() {
    let _ = Fast::new(Journal).route(&Tick);
}
