//! An executor outside of its runtime.
//!
//! Call `Tokio::current` in an `async fn main` with `#[tokio::main]`, or in
//! `runtime.block_on(..)`.

use crate::shared::*;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let executor = Tokio::current()?;
    Node::builder("main").service(|| Feed).service(|| Sum).build()?.start(executor)?;
    Ok(())
}
