use mycelium::{Context, Result, service};

struct Strategy;

#[service()]
impl Strategy {
    async fn run(&mut self, _ctx: &mut Context) -> Result<()> {
        Ok(())
    }
}

fn main() {}
