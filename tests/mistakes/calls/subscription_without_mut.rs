//! A subscription that is not `mut`.
//!
//! Write `let mut ticks`.

struct Feed;

#[service(reads(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}
