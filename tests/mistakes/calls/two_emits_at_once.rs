//! Two emits at one time.
//!
//! Await one after the other, or make a second publisher with `ctx.publisher()`.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (first, second) = (Tick { price: 1 }, Tick { price: 2 });
        let _ = tokio::join!(ctx.emit(first), ctx.emit(second));
        Ok(())
    }
}
