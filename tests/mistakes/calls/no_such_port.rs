//! A port that the service does not declare.
//!
//! Write `Self::out`, or declare the port: `emits(Tick as output)`.

struct Feed;

#[service(emits(Tick as out))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit_on(Self::output, Tick { price: 1 }).await?;
        Ok(())
    }
}
