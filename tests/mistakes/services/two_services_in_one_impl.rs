//! Two blocks with `#[service]` for one type.
//!
//! Write one block; other methods go into a block without the attribute.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

#[service(emits(Tick))]
impl Feed {
    fn price(&self) -> u64 {
        1
    }
}
