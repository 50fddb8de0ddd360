//! An emit without `await`.
//!
//! Write `ctx.emit(..).await?`: without `await` nothing is sent.
//!
//! Errors: 0.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: 1 });
        Ok(())
    }
}
