//! The name of a port as text.
//!
//! Write `Self::left`: the macro makes a constant for each port.

struct Feed;

#[service(reads(Tick as left))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe_on("left")?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}
