//! A topology file that does not exist.
//!
//! Write a path that exists, relative to the directory in which the program is started.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("apps.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Sum);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
