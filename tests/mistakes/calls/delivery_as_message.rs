//! A delivery that is used as a message.
//!
//! Match it: `Delivery::Msg(tick)` has the message, `Delivery::Gap(gap)` says how many were
//! missed.

struct Feed;

#[service(reads(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(tick) = ticks.recv().await {
            ctx.info("price", tick.price);
        }
        Ok(())
    }
}
