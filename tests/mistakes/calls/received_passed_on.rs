//! A received message that is passed on.
//!
//! Emit the message in it: `ctx.emit(*tick)`.

struct Echo;

#[service(reads(Tick), emits(Tick))]
impl Echo {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(Delivery::Msg(tick)) = ticks.recv().await {
            ctx.emit(tick).await?;
        }
        Ok(())
    }
}
