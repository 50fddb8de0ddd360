//! A service without `#[service]`.
//!
//! Write `#[service(reads(..), emits(..))]` over the `impl` block that has `run`.
//!
//! Errors: 3.

struct Feed;

impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

fn node() -> Builder {
    Node::builder("main").service(|| Feed)
}
