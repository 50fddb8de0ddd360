//! A node whose publisher is not started.
//!
//! Start the other node too, or start all of them with a bundle.

use crate::shared::*;

#[tokio::main(flavor = "current_thread", start_paused = true)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("other").topology(topology).service(|| Feed).service(|| Sum);
    let running = node.build()?.start(Tokio::current()?)?;
    // After four seconds, the user presses Ctrl-C.
    tokio::time::sleep(Duration::from_secs(4)).await;
    running.shutdown();
    running.join().await?;
    Ok(())
}
