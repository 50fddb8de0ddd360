//! A delivery without an arm for gaps.
//!
//! Write an arm for `Delivery::Gap(gap)`, or take `delivery.message()` if gaps do not matter.

struct Feed;

#[service(reads(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            match delivery {
                Delivery::Msg(tick) => ctx.info("price", tick.price),
            }
        }
        Ok(())
    }
}
