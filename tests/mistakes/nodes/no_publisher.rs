//! A reader without a publisher.
//!
//! Add the service that emits the message.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    Node::builder("main").service(|| Sum).build()?.run(Tokio::current()?).await?;
    Ok(())
}
