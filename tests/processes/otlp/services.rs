//! A pipeline of services: `Feed` ─▶ `Work` ─▶ `Store` ─▶ `Audit`, which records its messages.

use std::sync::{Arc, Mutex};

use mycelium::counters::{Kind, Reading};
use mycelium::observe::Report;
use mycelium::trace::TraceContext;
use mycelium::{Builder, Context, Node, Result, message, service};
use tokio::sync::Notify;

/// How many messages `Feed` emits. Each one begins a trace.
pub(crate) const TRACES: usize = 3;

#[message(topic = "ticks", id = 1)]
pub(crate) struct Tick {
    number: u64,
}

/// Emits this many messages, with the trace if there is one. If the test wants it, the last message
/// waits for the test.
#[derive(Clone, Default)]
pub(crate) struct Feed {
    pub(crate) messages: u64,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) may_end: Option<Arc<Notify>>,
}

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..self.messages {
            if number == self.messages - 1
                && let Some(may_end) = &self.may_end
            {
                may_end.notified().await;
            }
            match self.trace {
                None => ctx.emit(Tick { number }).await?,
                trace => ctx.emit(Tick { number }).traced(trace).await?,
            }
        }
        Ok(())
    }
}

/// Passes ticks on; it runs as `Work` and as `Store`.
struct Forward;

#[service(reads(Tick as input), emits(Tick as output))]
impl Forward {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe_on(Self::input)?;
        while let Some(delivery) = ticks.recv().await {
            ctx.on(Self::output).emit(delivery.message().expect("no gap")).await?;
        }
        Ok(())
    }
}

struct Audit(Arc<Mutex<Vec<u64>>>);

#[service(reads(Tick as input))]
impl Audit {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe_on(Self::input)?;
        while let Some(delivery) = ticks.recv().await {
            self.0.lock().unwrap().push(delivery.message().expect("no gap").number);
        }
        Ok(())
    }
}

/// Returns the counters of this kind, of which there is one line.
pub(crate) fn line(report: &Report, kind: Kind) -> Reading {
    let mut lines = report.counters.iter().filter(|line| line.kind == kind);
    lines.next().unwrap_or_else(|| panic!("no {kind:?}")).clone()
}

/// Returns a node with the four services, or with the ones that the topology gives it.
pub(crate) fn pipeline(node: &str, messages: usize) -> Builder {
    let feed = Feed { messages: messages as u64, ..Feed::default() };
    pipeline_of(node, feed, Arc::default())
}

/// Returns such a node with this feed. The numbers that arrive are added to `taken`.
pub(crate) fn pipeline_of(node: &str, feed: Feed, taken: Arc<Mutex<Vec<u64>>>) -> Builder {
    Node::builder(node)
        .service(move || feed.clone())
        .named_service("Work", || Forward)
        .named_service("Store", || Forward)
        .service(move || Audit(taken.clone()))
        .bind("Work", "input", "ticks")
        .bind("Work", "output", "sums")
        .bind("Store", "input", "sums")
        .bind("Store", "output", "records")
        .bind("Audit", "input", "records")
}
