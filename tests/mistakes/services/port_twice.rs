//! Two ports of one name.
//!
//! Give each port of a service a name of its own.

struct Feed;

#[service(reads(Tick as left, Tick as left))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.info("reads", "two topics");
        Ok(())
    }
}
