//! A `run` without a return type.
//!
//! Write `-> Result<()>`, and `Ok(())` at the end.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) {
        ctx.emit(Tick { price: 1 }).await.ok();
    }
}
