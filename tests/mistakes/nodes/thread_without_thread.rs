//! The name of a thread for a service that shares one.
//!
//! Write `Execution::dedicated().thread("sum")`.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Sum);
    let node = node.execution("Sum", Execution::shared().thread("sum"));
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
