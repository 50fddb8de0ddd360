//! Two fast handlers of one name.
//!
//! Give the second one a name of its own: reports and errors name handlers.

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Feed).service(|| Sum);
    let node = node.fast_handler("check", |tick: &Tick| match tick.price {
        0..1000 => Ok(()),
        price => Err(mycelium::Error::msg(format!("{price} is too high"))),
    });
    let node = node.fast_handler("check", |_: &Tick| Ok(()));
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
