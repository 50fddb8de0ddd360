//! A pipeline of services: `Feed` ─▶ `Work` ─▶ `Store` ─▶ `Audit`.

use mycelium::{Builder, Context, Node, Result, message, service};

/// How many messages `Feed` emits: each begins a trace.
pub(crate) const TRACES: usize = 3;

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
}

#[message(topic = "sums", id = 2)]
struct Sum {
    number: u64,
}

#[message(topic = "records", id = 3)]
struct Record {
    number: u64,
}

struct Feed(usize);

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..self.0 as u64 {
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

struct Work;

#[service(reads(Tick), emits(Sum))]
impl Work {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            let number = delivery.message().expect("no gap").number;
            ctx.emit(Sum { number }).await?;
        }
        Ok(())
    }
}

struct Store;

#[service(reads(Sum), emits(Record))]
impl Store {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut sums = ctx.subscribe::<Sum>()?;
        while let Some(delivery) = sums.recv().await {
            let number = delivery.message().expect("no gap").number;
            ctx.emit(Record { number }).await?;
        }
        Ok(())
    }
}

struct Audit;

#[service(reads(Record))]
impl Audit {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut records = ctx.subscribe::<Record>()?;
        while let Some(delivery) = records.recv().await {
            ctx.info("recorded", delivery.message().expect("no gap").number);
        }
        Ok(())
    }
}

/// A node with all of them, where the topology does not say otherwise.
pub(crate) fn pipeline(node: &str, messages: usize) -> Builder {
    Node::builder(node)
        .service(move || Feed(messages))
        .service(|| Work)
        .service(|| Store)
        .service(|| Audit)
}
