//! A `run` without a context.
//!
//! Write `ctx: &mut Context<Self>`: it publishes, receives, waits and logs.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self) -> Result<()> {
        Ok(())
    }
}
