//! A message that is listed twice.
//!
//! Write it once.

struct Feed;

#[service(emits(Tick, Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}
