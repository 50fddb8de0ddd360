//! A publisher without a reader.
//!
//! Add the service that reads the message.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    Node::builder("main").service(|| Feed).build()?.run(Tokio::current()?).await?;
    Ok(())
}
