//! A `run` that borrows the service as shared.
//!
//! Write `&mut self`: a service is run by one task.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}
