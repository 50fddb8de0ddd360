//! A service that samples under load: while its reader is slow, it emits every tenth reading only,
//! and counts the others. It ends by itself and prints its figures: `cargo run --example
//! backpressure`.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use mycelium::observe::Event;
use mycelium::{Context, Node, Result, message, service};

/// The number of readings.
const READINGS: u64 = 100_000;
/// Under load, one of this number of readings is emitted.
const SAMPLE: u64 = 10;

#[message(topic = "readings", id = 1)]
struct Reading {
    number: u64,
}

struct Sensor;

#[service(emits(Reading))]
impl Sensor {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut sent, mut sampled_out) = (0, 0);
        for number in 0..READINGS {
            // True once 80 % of the ring are full, until only 60 % are.
            let is_slow = ctx.backpressure_threshold_exceeded::<Reading>();
            if is_slow && number % SAMPLE != 0 {
                sampled_out += 1;
            } else {
                ctx.emit(Reading { number }).await?;
                sent += 1;
            }
            // The next reading arrives.
            ctx.yield_now().await;
        }
        println!("readings {READINGS} = sent {sent} + sampled out {sampled_out}");
        // The last readings are still in the ring: waits until the store has finished them.
        ctx.confirmed().await;
        println!("confirmed {sent}, queue depth {}", ctx.queue_depth::<Reading>());
        Ok(())
    }
}

/// Takes three times as long for a reading as the sensor does.
struct Store;

#[service(reads(Reading))]
impl Store {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut readings = ctx.subscribe::<Reading>()?;
        let (mut received, mut last) = (0, None);
        while let Some(delivery) = readings.recv().await {
            let Some(reading) = delivery.message() else { continue };
            assert!(last.is_none_or(|last| last < reading.number), "in order, and none twice");
            (received, last) = (received + 1, Some(reading.number));
            for _ in 0..3 {
                ctx.yield_now().await;
            }
        }
        println!("received {received}");
        Ok(())
    }
}

fn main() -> Result<()> {
    let node = Node::builder("main").service(|| Sensor).service(|| Store).observe(|event| {
        if let Event::BackpressureStarted { service, topic, depth, capacity } = event {
            println!("{service} samples: {depth} of {capacity} slots of `{topic}` are taken");
        }
    });
    mycelium::run(node)
}
