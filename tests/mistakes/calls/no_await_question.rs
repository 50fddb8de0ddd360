//! An emit with `?` and without `await`.
//!
//! Write `ctx.emit(..).await?`.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: 1 })?;
        Ok(())
    }
}
