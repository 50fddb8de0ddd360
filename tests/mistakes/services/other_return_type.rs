//! A `run` that returns another type.
//!
//! Write `-> Result<()>`: keep a result in the service, or emit it.

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> u64 {
        42
    }
}
