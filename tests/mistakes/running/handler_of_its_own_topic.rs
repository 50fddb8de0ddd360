//! A fast handler that emits to its own topic.
//!
//! Let a service read the topic and emit there: the message would pass the handler again and again.

use std::sync::{Arc, Mutex, OnceLock};

use crate::shared::*;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let echo = Arc::new(OnceLock::<Mutex<Publisher<Tick>>>::new());
    let publisher = echo.clone();
    let topology = Topology::load("app.toml")?;
    let node = Node::builder("main").topology(topology).service(|| Feed).service(|| Sum);
    let node = node.fast_handler("echo", move |tick: &Tick| {
        let Some(publisher) = publisher.get() else { return Ok(()) };
        let mut publisher = publisher.lock().map_err(|_| mycelium::Error::msg("poisoned"))?;
        Ok(publisher.try_emit(Tick { price: tick.price + 1 })?)
    });
    let node = node.build()?;
    let _ = echo.set(Mutex::new(node.publisher("echo")?));
    node.run(Tokio::current()?).await?;
    Ok(())
}
