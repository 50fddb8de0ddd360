//! A node that is run without `await`.
//!
//! Write `node.run(..).await?`: without `await` nothing starts.

async fn start(node: Node) -> Result<()> {
    node.run(Tokio::current()?);
    Ok(())
}
