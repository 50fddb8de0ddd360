//! A node without services.
//!
//! Write `.service(|| Feed)` for each service.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    Node::builder("main").build()?.run(Tokio::current()?).await?;
    Ok(())
}
