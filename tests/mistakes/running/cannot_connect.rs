//! A server that is not there.
//!
//! Connect again after a pause: return the error, and the node restarts the service with growing
//! pauses.

use crate::shared::*;

struct Client;

#[service(reads(Tick))]
impl Client {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let connection = ctx.connect("127.0.0.1:1").await?;
        drop(connection);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Client);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
