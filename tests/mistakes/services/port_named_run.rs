//! A port named `run`.
//!
//! Give it another name.

struct Feed;

#[service(emits(Tick as run))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit_on(Self::run, Tick { price: 1 }).await?;
        Ok(())
    }
}
