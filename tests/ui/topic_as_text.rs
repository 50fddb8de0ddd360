use mycelium::{Context, Result, service};

struct Strategy;

#[service(reads("ticks"))]
impl Strategy {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

fn main() {}
