//! A borrowed message.
//!
//! Emit the value: `ctx.emit(tick)`.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let tick = Tick { price: 1 };
        ctx.emit(&tick).await?;
        Ok(())
    }
}
