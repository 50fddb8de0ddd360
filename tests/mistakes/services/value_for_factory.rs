//! A service in place of its factory.
//!
//! Write `|| Feed`: the node makes the service, and makes it again after a panic.

struct Feed;

#[service()]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

fn node() -> Builder {
    Node::builder("main").service(Feed)
}
