//! A node with two services and a timer on a hand-written loop, without any runtime.
//! Run it with `cargo run -p custom_executor`.
#![expect(clippy::print_stdout, reason = "this is a command-line program")]

mod own_loop;

use std::time::Duration;

use mycelium::{Context, Delivery, Node, Result, message, service};
use own_loop::OwnLoop;

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
}

struct Clock;

#[service(emits(Tick))]
impl Clock {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 1..=10 {
            ctx.sleep(Duration::from_millis(20)).await?;
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

struct Squarer;

#[service(reads(Tick))]
impl Squarer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            match delivery {
                Delivery::Msg(tick) => {
                    println!("{} squared is {}", tick.number, tick.number * tick.number);
                }
                Delivery::Gap(gap) => println!("{gap}"),
            }
        }
        Ok(())
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("main").service(|| Clock).service(|| Squarer);
    let own = OwnLoop::new();
    // The loop may run other futures beside the node.
    let running = node.build()?.start(own.clone())?;
    let report = own.run(running.join())?;
    println!("{} services ended", report.services.len());
    Ok(())
}
