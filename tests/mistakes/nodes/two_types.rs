//! One topic for two messages.
//!
//! Write another topic: a topic has messages of one type.

use crate::shared::*;

#[message(topic = "ticks", id = 2)]
struct Quote {
    bid: u64,
    ask: u64,
}

struct Quotes;

#[service(emits(Quote))]
impl Quotes {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Quote { bid: 1, ask: 2 }).await?;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let node = Node::builder("main").service(|| Quotes).service(|| Sum);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
