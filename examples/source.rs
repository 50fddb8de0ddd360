//! A source that runs until Ctrl-C or SIGTERM and then ends well: what it has emitted is received,
//! and the exit code is 0. `cargo run --example source`, then press Ctrl-C.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use mycelium::{Context, Node, Result, message, service};

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
}

struct Clock {
    number: u64,
}

#[service(emits(Tick))]
impl Clock {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        loop {
            self.number += 1;
            // After a signal this is the error `ShuttingDown`, and `?` ends the service well. The
            // ticks that it emitted before are received.
            ctx.emit(Tick { number: self.number }).await?;
        }
    }
}

struct Count;

#[service(reads(Tick))]
impl Count {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        let (mut received, mut last) = (0, 0);
        println!("running");
        // After the source has ended, `recv` returns what is left and then `None`.
        while let Some(delivery) = ticks.recv().await {
            let Some(tick) = delivery.message() else { continue };
            (received, last) = (received + 1, tick.number);
        }
        println!("received {received} of {last} ticks");
        Ok(())
    }
}

fn main() -> Result<()> {
    mycelium::run(Node::builder("main").service(|| Clock { number: 0 }).service(|| Count))
}
