//! An emit without its port.
//!
//! Write `ctx.emit_on(Self::out, ..)`: the message has a named port only.

struct Feed;

#[service(emits(Tick as out))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: 1 }).await?;
        Ok(())
    }
}
