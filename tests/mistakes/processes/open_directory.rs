//! A socket in a directory that others may open.
//!
//! Close the directory (`chmod 0700 sockets`), or set another `socket`.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    std::fs::create_dir("sockets")?;
    std::process::Command::new("chmod").args(["0777", "sockets"]).status()?;
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Sum);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
