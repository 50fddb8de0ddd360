//! Backpressure of services: what a context reports, which events observers get, and how a wait for
//! its end ends.

use std::sync::mpsc::{Sender, channel};

use mycelium::observe::Event;
use mycelium::{Context, Delivery, Policy, Result, service};

use super::services::{Number, conserved};
use crate::running::{main_with, next};

/// Emits while the threshold allows it, and reports what it observes.
struct Sensor(Sender<(usize, usize, bool)>);

#[service(emits(Number as out))]
impl Sensor {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0.. {
            ctx.on(Self::out).emit(Number { value }).await?;
            if ctx.on(Self::out).backpressure_threshold_exceeded() {
                let depth = ctx.on(Self::out).queue_depth();
                self.0.send((depth, ctx.on(Self::out).capacity(), true))?;
                ctx.on(Self::out).until_below().await?;
                let is_exceeded = ctx.on(Self::out).backpressure_threshold_exceeded();
                self.0.send((ctx.on(Self::out).queue_depth(), 0, is_exceeded))?;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_service_waits_between_the_marks_and_a_shutdown_ends_the_wait() {
    // The file takes precedence over the program.
    waits_between_the_marks("backpressure_threshold = \"50%\"", 100).await;
    waits_between_the_marks("", 50).await;
}

async fn waits_between_the_marks(key: &str, percent: u32) {
    let text = format!(
        "[topic.readings]\ncapacity = 16\n{key}\n[service.Sensor.ports]\nout = \"readings\""
    );
    let (sender, seen) = channel();
    let (observed, events) = channel();
    let node = main_with(&text)
        .backpressure_threshold("readings", percent)
        .service(move || Sensor(sender.clone()))
        .observe(move |event| {
            let event = match event {
                Event::BackpressureStarted { service, topic, depth, capacity } => {
                    format!("{service} {topic} started {depth} of {capacity}")
                }
                Event::BackpressureEnded { service, topic, depth, .. } => {
                    format!("{service} {topic} ended {depth}")
                }
                _ => return,
            };
            observed.send(event).unwrap();
        })
        .build()
        .unwrap();
    let mut readings = node.subscribe_to::<Number>("readings", "reader", Policy::Block).unwrap();
    let running = node.start(mycelium_tokio::Tokio::current().unwrap()).unwrap();
    for round in 0..3 {
        assert_eq!(next(&seen).await, (8, 16, true), "round {round}");
        for _ in 0..2 {
            assert!(matches!(readings.recv().await, Some(Delivery::Msg(_))));
            readings.done();
        }
        assert_eq!(next(&seen).await, (6, 0, false), "round {round}");
    }
    assert_eq!(next(&seen).await, (8, 16, true));
    running.shutdown();
    let mut rest = 0;
    while readings.recv().await.is_some() {
        rest += 1;
    }
    assert_eq!(rest, 8, "a source in `until_below` ends at a shutdown");
    let report = running.join().await.unwrap();
    conserved(&report.counters);
    let first = ["Sensor readings started 8 of 16", "Sensor readings ended 6"];
    assert!(events.try_iter().take(6).eq([first, first, first].concat()));
}
