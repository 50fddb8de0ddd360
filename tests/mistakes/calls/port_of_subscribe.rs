//! A port for `subscribe`.
//!
//! Write `ctx.subscribe_on(Self::left)`.
//!
//! Errors: 2.

struct Merge;

#[service(reads(Tick as left))]
impl Merge {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut left = ctx.subscribe(Self::left)?;
        left.done();
        Ok(())
    }
}
