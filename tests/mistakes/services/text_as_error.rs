//! A text as an error.
//!
//! Write `return Err(Error::msg("no price"))`.

struct Feed;

#[service()]
impl Feed {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        return Err("no price");
    }
}
