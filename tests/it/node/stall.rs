//! Services that stall and are evicted by their topic, in virtual time.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::observe::Event;
use mycelium::subscribe::{GapReason, OnStall};
use mycelium::{Context, Delivery, Result, service};

use super::services::{Number, conserved, numbers, run};
use crate::running::main_with;

const TONES: u64 = 100;

/// Emits the first half as fast as it can, and then one message per second.
struct Organ;

#[service(emits(Number))]
impl Organ {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for tone in numbers(0..20) {
            // The deadline is shorter than the time until the eviction, so several deadlines pass.
            while ctx.emit_ref(&tone).within(Duration::from_secs(2)).await.is_err() {}
        }
        ctx.emit_batch(&numbers(20..40)).await?;
        for tone in numbers(40..TONES) {
            if tone.value >= TONES / 2 {
                ctx.sleep(Duration::from_secs(1)).await?;
            }
            ctx.emit(tone).await?;
        }
        Ok(())
    }
}

/// Stalls with its first message in flight. Sends each received number, or how many it has missed.
struct Stalls(Sender<Result<u64, u64>>);

#[service(reads(Number))]
impl Stalls {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut tones = ctx.subscribe::<Number>()?;
        while let Some(delivery) = tones.recv().await {
            match delivery {
                Delivery::Msg(tone) => {
                    if tone.value == 0 {
                        ctx.sleep(Duration::from_millis(30_500)).await?;
                    }
                    self.0.send(Ok(tone.value))?;
                }
                Delivery::Gap(gap) => {
                    assert!(gap.exact() && gap.reason == GapReason::Evicted, "{gap}");
                    self.0.send(Err(gap.count))?;
                }
            }
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stalls_is_evicted_and_recovers() {
    let ((gets, got), (observed, events)) = (channel(), channel());
    let text = "[topic.numbers]\ncapacity = 16\non_stall = { evict_after = \"5s\" }";
    let builder = main_with(text)
        // The file takes precedence over this setting.
        .on_stall("numbers", OnStall::Block)
        .service(|| Organ)
        .service(move || Stalls(gets.clone()))
        .observe(move |event| {
            if let Event::ReaderEvicted { service, topic, reader, stalled } = event {
                observed.send(format!("{service} {topic} {reader} {stalled:?}")).unwrap();
            }
        });
    let report = run(builder).await;
    // After 30 s, the first half and 25 more were emitted; the ring holds the last 16 of them.
    let expected = [Ok(0), Err(75 - 16 - 1)].into_iter().chain((59..TONES).map(Ok));
    assert!(got.try_iter().eq(expected));
    assert!(events.try_iter().eq(["Organ numbers Stalls 5s"]));
    conserved(&report.counters);
    let line = report.counters.iter().find(|line| line.kind == Kind::Edge).unwrap();
    assert_eq!((line.value("evicted"), line.value("overwritten")), (1, 58));
}
