//! A runtime without timers.
//!
//! Write `.enable_all()` on the builder of the runtime.

use crate::shared::*;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let node = Node::builder("main").service(|| Feed).service(|| Sum).build()?;
        node.run(Tokio::current()?).await?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}
