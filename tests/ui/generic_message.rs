use mycelium::{Context, Message, Result, service};

struct Echo<M>(M);

#[service(send, emits(M))]
impl<M: Message> Echo<M> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(self.0).await?;
        Ok(())
    }
}

fn main() {}
