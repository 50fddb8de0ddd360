//! A node whose reader is not started.
//!
//! Start the other node too, or start all of them with a bundle.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Sum);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
