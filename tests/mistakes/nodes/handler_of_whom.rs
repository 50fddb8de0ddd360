//! A fast handler of a topic that nobody publishes.
//!
//! Write the name of the topic that the service publishes, or use `fast_handler`, which takes it
//! from there.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Sum);
    let node = node.fast_handler_of("tick", "check", |_: &Tick| Ok(()));
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
