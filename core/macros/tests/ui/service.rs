//! Mistakes in the arguments of `#[service]`, and in its block.

use mycelium::*;

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

#[service(reads(Tick))]
struct OnAStruct;

struct NoList;

#[service(reads = Tick)]
impl NoList {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

struct UnknownArgument;

#[service(reads(Tick), writes(Tick))]
impl UnknownArgument {}

struct TopicAsText;

#[service(reads("ticks"))]
impl TopicAsText {}

struct Twice;

#[service(reads(Tick, Tick))]
impl Twice {}

struct PortTwice;

#[service(reads(Tick as ticks), emits(Tick as ticks))]
impl PortTwice {}

struct PortNamedRun;

#[service(emits(Tick as run))]
impl PortNamedRun {}

struct GenericMessage<M>(M);

#[service(send, emits(M))]
impl<M: Message> GenericMessage<M> {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

struct GenericUnsaid<T>(T);

#[service(reads(Tick))]
impl<T: Send + 'static> GenericUnsaid<T> {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

struct EmitInATask;

#[service(emits(Tick))]
impl EmitInATask {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.spawn(async move {
            let _ = ctx.emit(Tick { price: 1 }).await;
        });
        Ok(())
    }
}

struct NotAsync;

#[service(reads(Tick))]
impl NotAsync {
    fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        Ok(())
    }
}

struct ReturnsNothing;

#[service(reads(Tick))]
impl ReturnsNothing {
    async fn run(&mut self, _ctx: &mut Context<Self>) {}
}

struct WithoutContext;

#[service(reads(Tick))]
impl WithoutContext {
    async fn run(&self) -> Result<()> {
        Ok(())
    }
}

struct ContextOfNothing;

#[service()]
impl ContextOfNothing {
    async fn run(&mut self, _ctx: &mut Context) -> Result<()> {
        Ok(())
    }
}

struct NoRun;

#[service(reads(Tick))]
impl NoRun {
    async fn start(&mut self) {}
}

/// A refused block is one error: its uses are none.
fn node() -> Builder {
    Node::builder("main").service(|| ReturnsNothing).service(|| NotAsync)
}

fn main() {}
