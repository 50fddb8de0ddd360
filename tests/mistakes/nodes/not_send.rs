//! A service with an `Rc` on a runtime of several threads.
//!
//! Write `Arc`, or give the service a thread of its own: `.execution("Local",
//! Execution::dedicated())`.

use crate::shared::*;

struct Local(std::rc::Rc<u64>);

#[service(emits(Tick))]
impl Local {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: *self.0 }).await?;
        Ok(())
    }
}

#[tokio::main(worker_threads = 2)]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Local(1.into())).service(|| Sum);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
