//! An execution for a service that does not exist.
//!
//! Write the name of the service's type, or the name that `named_service` gave it.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Sum);
    let node = node.execution("Summ", Execution::dedicated());
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
