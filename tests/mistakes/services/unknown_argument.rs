//! An unknown word in `#[service]`.
//!
//! Write `reads(..)`, `emits(..)`, `send` or `local`.

struct Feed;

#[service(writes(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}
