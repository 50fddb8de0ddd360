//! A context without its service.
//!
//! Write `Context<Self>`: what the context can emit and read follows from the service.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context) -> Result<()> {
        Ok(())
    }
}
