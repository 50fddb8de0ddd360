//! A `run` that is not `async`.
//!
//! Write `async fn run`.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}
