//! A service that is declared `send` and keeps an `Rc`.
//!
//! Write `Arc`, or `local`: then the service runs on a thread of its own, or where local tasks
//! run.

struct Feed;

#[service(send, emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let price = std::rc::Rc::new(1);
        ctx.emit(Tick { price: *price }).await?;
        drop(price);
        Ok(())
    }
}
