//! Backpressure of services: what a context says of it, what observers get, and how waits for it
//! end.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use mycelium::{
    BuildError, Context, Delivery, Event, Node, Policy, Result, Topology, message, service,
};

use super::services::{conserved, run};

#[message(topic = "readings", id = 31)]
#[derive(Debug, PartialEq)]
struct Reading {
    value: u64,
}

/// Emits as long as the threshold allows, and reports what it sees.
struct Sensor(Sender<(usize, usize, bool)>);

#[service(emits(Reading as out))]
impl Sensor {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0.. {
            ctx.emit_on(Self::out, Reading { value }).await?;
            if ctx.backpressure_threshold_exceeded_on(Self::out) {
                let depth = ctx.queue_depth_on(Self::out);
                self.0.send((depth, ctx.capacity_on(Self::out), true))?;
                ctx.until_below_on(Self::out).await?;
                let is_exceeded = ctx.backpressure_threshold_exceeded_on(Self::out);
                self.0.send((ctx.queue_depth_on(Self::out), 0, is_exceeded))?;
            }
        }
        Ok(())
    }
}

fn topology(threshold: &str) -> Topology {
    let text = format!(
        "[topic.readings]\ncapacity = 16\nbackpressure_threshold = \"{threshold}\"\n\
         [service.Sensor.ports]\nout = \"readings\""
    );
    Topology::parse("test.toml", &text).unwrap()
}

#[tokio::test]
async fn a_service_waits_between_the_marks_and_a_shutdown_ends_the_wait() {
    let (sender, seen) = channel();
    let events = Arc::new(Mutex::new(Vec::new()));
    let observed = events.clone();
    let node = Node::builder("main")
        .topology(topology("50%"))
        // The file takes precedence.
        .backpressure_threshold("readings", 100)
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
            observed.lock().unwrap().push(event);
        })
        .build()
        .unwrap();
    let mut readings = node.subscribe_to::<Reading>("readings", "reader", Policy::Block).unwrap();
    let running = node.start(mycelium_tokio::Tokio::current().unwrap()).unwrap();
    let next = async || loop {
        if let Ok(seen) = seen.try_recv() {
            break seen;
        }
        tokio::task::yield_now().await;
    };
    for round in 0..3 {
        assert_eq!(next().await, (8, 16, true), "round {round}");
        for _ in 0..2 {
            assert!(matches!(readings.recv().await, Some(Delivery::Msg(_))));
            readings.done();
        }
        assert_eq!(next().await, (6, 0, false), "round {round}");
    }
    assert_eq!(next().await, (8, 16, true));
    running.shutdown();
    let mut rest = 0;
    while readings.recv().await.is_some() {
        rest += 1;
    }
    assert_eq!(rest, 8, "a source in `until_below` ends at a shutdown");
    let report = running.join().await.unwrap();
    conserved(&report.counters);
    let events = events.lock().unwrap();
    let first = ["Sensor readings started 8 of 16", "Sensor readings ended 6"];
    assert_eq!(events[..6], [first, first, first].concat());
}

#[tokio::test]
async fn thresholds_of_the_program_are_checked() {
    let build = |topic: &str, percent| {
        let (sender, _) = channel();
        let builder = Node::builder("main").service(move || Sensor(sender.clone()));
        builder.bind("Sensor", "out", "readings").backpressure_threshold(topic, percent).build()
    };
    let problem = |topic, percent| match build(topic, percent) {
        Err(error @ BuildError::Threshold { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        problem("reading", 80),
        "the threshold of topic `reading` (`Builder::backpressure_threshold`): unknown topic: \
         did you mean `readings`? (expected one of: readings) [M0012]"
    );
    assert_eq!(
        problem("readings", 101),
        "the threshold of topic `readings` (`Builder::backpressure_threshold`): invalid percentage \
         101: expected 1 to 100 [M0012]"
    );
    assert!(build("readings", 100).is_ok());
}

#[tokio::test]
async fn a_threshold_of_the_program_is_used() {
    struct Once(Sender<usize>);
    #[service(emits(Reading))]
    impl Once {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            while !ctx.backpressure_threshold_exceeded::<Reading>() {
                ctx.emit(Reading { value: 0 }).await?;
            }
            Ok(self.0.send(ctx.queue_depth::<Reading>())?)
        }
    }
    struct Sink;
    #[service(reads(Reading))]
    impl Sink {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut readings = ctx.subscribe::<Reading>()?;
            while readings.recv().await.is_some() {}
            Ok(())
        }
    }
    let (sender, depth) = channel();
    let builder = Node::builder("main").service(move || Once(sender.clone())).service(|| Sink);
    let report = run(builder.backpressure_threshold("readings", 10)).await;
    assert_eq!(depth.recv().unwrap(), 103, "a tenth of 1,024");
    conserved(&report.counters);
}
