//! A runtime handle in place of an executor.
//!
//! Write `Tokio::current()?` of `mycelium-tokio`.

async fn start(node: Node) -> Result<()> {
    node.run(tokio::runtime::Handle::current()).await?;
    Ok(())
}
