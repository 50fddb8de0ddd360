use mycelium::{Handler, Out, Result, routes};

struct Tick;

struct Strategy;

impl Handler<Tick> for Strategy {
    fn handle(&mut self, _: &Tick, _: &mut Out<'_>) -> Result<()> {
        Ok(())
    }
}

struct Risk;

routes! {
    Fast: { Tick => [Strategy, Risk] }
}

fn main() {}
