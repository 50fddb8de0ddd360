//! Futures of a context that are dropped at their k-th poll, as `select!` drops them: nothing is
//! lost or delivered twice, and the next call continues where the dropped one stopped.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::time::Duration;

use futures_util::StreamExt;
use mycelium::{Context, Delivery, Result, service};
use mycelium_transports::conformance::cut;

use super::services::{Number, Taker, conserved, numbers, run};
use crate::running::main_with;

const COUNT: u64 = 600;

/// Repeats a future until it ends before it is dropped. Other tasks run between two attempts.
macro_rules! until_done {
    ($ctx:ident, $polls:expr, $future:expr) => {
        loop {
            // A separate statement, because the future borrows the context.
            let done = cut($polls, $future).await;
            match done {
                Some(output) => break output,
                None => $ctx.yield_now().await,
            }
        }
    };
}

/// Emits all numbers, with each of the methods.
struct Source(usize);

#[service(emits(Number as out))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let polls = self.0;
        let mut ticks = ctx.interval(Duration::from_millis(1))?;
        let mut value = 0;
        while value < COUNT {
            match value % 5 {
                0 => until_done!(ctx, polls, ctx.on(Self::out).emit(Number { value }))?,
                1 => {
                    const HOUR: Duration = Duration::from_secs(3600);
                    until_done!(ctx, polls, ctx.on(Self::out).emit(Number { value }).within(HOUR))?;
                }
                2 => {
                    let items = numbers(value..COUNT.min(value + 23));
                    let mut sent = 0;
                    while sent < items.len() {
                        let mut batch = ctx.on(Self::out).emit_batch(&items[sent..]);
                        if let Some(result) = cut(polls, Pin::new(&mut batch)).await {
                            result?;
                        }
                        sent += batch.sent();
                        ctx.yield_now().await;
                    }
                    value += sent as u64 - 1;
                }
                3 => {
                    until_done!(ctx, polls, ctx.on(Self::out).until_below())?;
                    until_done!(ctx, polls, ctx.on(Self::out).emit(Number { value }))?;
                }
                _ => {
                    until_done!(ctx, polls, ctx.on(Self::out).emit(Number { value }))?;
                    if value % 20 == 4 {
                        until_done!(ctx, polls, ctx.confirmed());
                        assert_eq!(ctx.on(Self::out).queue_depth(), 0);
                        until_done!(ctx, polls, ticks.tick())?;
                        let _ = cut(polls, ctx.sleep(Duration::from_micros(1))).await;
                        assert!(cut(polls, ctx.shutdown_requested()).await.is_none());
                    }
                }
            }
            value += 1;
        }
        Ok(())
    }
}

/// Receives with each of the methods.
struct Middle(usize);

#[service(reads(Number as input), emits(Number as out))]
impl Middle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (polls, mut items) = (self.0, ctx.subscribe_on(Self::input)?);
        let (mut ready, mut batch, mut way) = (VecDeque::new(), Vec::new(), 0);
        loop {
            way += 1;
            match way % 3 {
                0 => ready.extend(until_done!(ctx, polls, items.recv())),
                1 => ready.extend(until_done!(ctx, polls, items.next())),
                _ => {
                    until_done!(ctx, polls, items.recv_many(&mut batch, 7));
                    ready.extend(batch.drain(..));
                }
            }
            if ready.is_empty() {
                return Ok(());
            }
            for delivery in ready.drain(..) {
                let Delivery::Msg(item) = delivery else { panic!("a gap") };
                until_done!(ctx, polls, ctx.on(Self::out).emit(*item))?;
            }
        }
    }
}

/// Returns the value of a delivery that is the first one of its message.
fn first(delivery: Delivery<Number>) -> Option<u64> {
    let Delivery::Msg(number) = delivery else { panic!("a gap") };
    assert!(!number.redelivered());
    Some(number.value)
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_at_any_poll_loses_nothing() {
    for polls in 1..=4 {
        let (sender, received) = channel();
        let text = "[topic.first]\ncapacity = 8\n[topic.numbers]\ncapacity = 4";
        let builder = main_with(text)
            .service(move || Source(polls))
            .service(move || Middle(polls))
            .service(move || Taker(sender.clone(), first))
            .bind("Source", "out", "first")
            .bind("Middle", "input", "first")
            .bind("Middle", "out", "numbers");
        let report = run(builder).await;
        assert!(received.try_iter().eq(0..COUNT), "dropped at poll {polls}");
        conserved(&report.counters);
    }
}
