//! A missing semicolon in `run`.
//!
//! Write the semicolon.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let price = 1
        ctx.emit(Tick { price }).await?;
        Ok(())
    }
}
