//! A generic service that does not say where it can run.
//!
//! Write `#[service(send, ..)]`, or `local` if it stays on one thread.

struct Store<T> {
    items: Vec<T>,
}

#[service(reads(Tick))]
impl<T: Send + 'static> Store<T> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}
