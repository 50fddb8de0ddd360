//! The name of a topic in `#[service]`.
//!
//! Write the type of the message: `reads(Tick)`.

struct Feed;

#[service(reads("ticks"))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}
