//! A reader without a publisher.
//!
//! Add the service that emits the message.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Sum).build()?;
    let running = node.start(Tokio::current()?)?;
    running.ready().await?;
    // It would run forever. The user presses Ctrl-C.
    running.shutdown();
    running.join().await?;
    Ok(())
}
