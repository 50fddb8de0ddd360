//! A message that the service does not declare to emit.
//!
//! Write `#[service(emits(Tick))]`.

struct Feed;

#[service()]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: 1 }).await?;
        Ok(())
    }
}
