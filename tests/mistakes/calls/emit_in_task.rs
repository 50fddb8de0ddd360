//! An emit in a child task.
//!
//! Make a publisher for the task: `let mut publisher = ctx.publisher::<Tick>()?`, and
//! `publisher.emit(..).await` in the task.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.spawn(async move {
            ctx.emit(Tick { price: 1 }).await.ok();
        });
        Ok(())
    }
}
