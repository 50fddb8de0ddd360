//! A message that the service does not declare to read.
//!
//! Write `#[service(reads(Tick))]`.

struct Feed;

#[service()]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}
