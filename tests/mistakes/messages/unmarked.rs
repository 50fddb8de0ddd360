//! A message without `#[message]`.
//!
//! Write `#[message(topic = "..", id = ..)]` over the struct.
//!
//! Errors: 8.

struct Tick {
    price: u64,
}

struct Sum;

#[service(reads(Tick))]
impl Sum {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}
