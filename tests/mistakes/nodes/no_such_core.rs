//! A core that the machine does not have.
//!
//! Name a core that exists, or write `.if_refused(PlacementFallback::Warn)`.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Sum);
    let node = node.execution("Sum", Execution::pinned([4000]));
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
