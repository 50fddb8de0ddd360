//! A result as the last expression of `run`.
//!
//! Write `?;` after it, and `Ok(())` in the next line.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: 1 }).await
    }
}
