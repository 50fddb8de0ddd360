//! A builder that is run.
//!
//! Write `.build()?` before `.run(..)`: it checks that the services fit together.

async fn start() -> Result<()> {
    Node::builder("main").run(Tokio::current()?).await?;
    Ok(())
}
