//! A `run` without `Ok(())` at its end.
//!
//! Write `Ok(())` as the last line.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: 1 }).await?;
    }
}
