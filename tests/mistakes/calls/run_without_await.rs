//! A node that is run without `await`.
//!
//! Write `node.run(..).await?`: without `await` nothing starts.
//!
//! Errors: 0.

async fn start(node: Node) -> Result<()> {
    node.run(Tokio::current()?);
    Ok(())
}
