//! Two processes with the name of one node.
//!
//! Start each node of the topology once.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = || Node::builder("main").topology(topology.clone()).service(|| Feed).service(|| Sum);
    // In the first process.
    let _first = node().build()?.start(Tokio::current()?)?;
    // In the second one.
    node().build()?.run(Tokio::current()?).await?;
    Ok(())
}
