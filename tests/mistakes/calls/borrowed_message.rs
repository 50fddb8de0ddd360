//! A borrowed message.
//!
//! Emit the value: `ctx.emit(tick)`.
//!
//! Errors: 4.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let tick = Tick { price: 1 };
        ctx.emit(&tick).await?;
        Ok(())
    }
}
