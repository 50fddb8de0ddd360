use mycelium::*;

struct Strategy;

impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown();
        Ok(())
    }
}

fn main() {
    Node::builder("main").service(|| Strategy);
}
