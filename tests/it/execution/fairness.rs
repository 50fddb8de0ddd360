//! A service that never waits lets the other services of its executor run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mycelium::execution::Execution;
use mycelium::{Context, Policy, Result, service};

use crate::execution::services::{Number, Square, start, within};
use crate::running::main_with;

/// Counts the steps of a tight loop.
#[derive(Clone, Default)]
struct Work(Arc<AtomicU64>);

impl Work {
    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Yields a hundred times, and asserts that the other service has taken few steps between two
/// turns.
struct Meek {
    work: Work,
    most: u64,
}

#[service()]
impl Meek {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut before, mut busy) = (self.work.0.load(Ordering::Relaxed), 0);
        while busy < 100 {
            ctx.yield_now().await;
            let now = self.work.0.load(Ordering::Relaxed);
            assert!(now - before <= self.most, "{} between two turns", now - before);
            busy += u64::from(now > before);
            before = now;
        }
        ctx.shutdown();
        Ok(())
    }
}

/// Answers each message.
struct Both(Work);

#[service(reads(Number), emits(Square))]
impl Both {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while numbers.recv().await.is_some() {
            ctx.emit(Square { value: 0 }).await?;
            self.0.one_more();
        }
        Ok(())
    }
}

/// Receives in a child task. When the first turn ends, its first message is in flight, and not
/// counted yet.
struct Reader(Work);

#[service(reads(Number))]
impl Reader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut numbers, work) = (ctx.subscribe::<Number>()?, self.0.clone());
        let child = ctx.spawn(async move {
            while numbers.recv().await.is_some() {
                work.one_more();
            }
        });
        child.await?;
        Ok(())
    }
}

const BUDGET: u32 = 64;

#[tokio::test]
async fn a_tight_loop_does_no_more_in_a_turn_than_its_budget() {
    for (name, most) in [("Both", 32), ("Reader", 65)] {
        let work = Work::default();
        // The ring holds all messages from the start.
        let builder = main_with("[topic.numbers]\ncapacity = 131072\n")
            .execution(name, Execution::shared().budget(BUDGET));
        let mine = work.clone();
        let builder = match name {
            "Both" => builder.service(move || Both(mine.clone())),
            _ => builder.service(move || Reader(mine.clone())),
        };
        let running = start(builder.service(move || Meek { work: work.clone(), most }));
        let reader = running.subscribe::<Square>("outside", Policy::DropOldest).unwrap();
        let mut numbers = running.publisher::<Number>("outside").unwrap();
        for value in 0..100_000 {
            numbers.try_emit(Number { value }).unwrap();
        }
        let report = within(running.join()).await.unwrap();
        assert!(report.services.iter().all(|service| service.panics == 0), "{name}");
        drop(reader);
    }
}
