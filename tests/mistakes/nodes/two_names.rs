//! Two services of one name.
//!
//! Give the second one a name of its own: `.named_service("Second", || Feed)`.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Feed).service(|| Sum);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
