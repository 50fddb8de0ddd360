//! A subscription without its message.
//!
//! Write `ctx.subscribe::<Tick>()?`.

struct Feed;

#[service(reads(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}
