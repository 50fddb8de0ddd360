//! One message from two topics, without ports.
//!
//! Write `reads(Tick as left, Tick as right)`, and bind both ports in the topology.

struct Feed;

#[service(reads(Tick, Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut left = ctx.subscribe::<Tick>()?;
        let mut right = ctx.subscribe::<Tick>()?;
        left.recv().await;
        right.recv().await;
        Ok(())
    }
}
