//! A service that reads two topics at once, and takes the message that arrives first:
//! `cargo run --example select`.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use mycelium::{Context, Node, Result, message, service};
use mycelium_tokio::Tokio;

#[message(topic = "bids", id = 1)]
struct Bid {
    price: u64,
}

#[message(topic = "asks", id = 2)]
struct Ask {
    price: u64,
}

struct Market;

#[service(emits(Bid, Ask))]
impl Market {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for price in 1..=5 {
            ctx.emit(Bid { price }).await?;
            ctx.emit(Ask { price: price + 1 }).await?;
        }
        Ok(())
    }
}

struct Book;

#[service(reads(Bid, Ask))]
impl Book {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut bids, mut asks) = (ctx.subscribe::<Bid>()?, ctx.subscribe::<Ask>()?);
        // A `recv` that loses is dropped. It has taken no message, so nothing is lost.
        loop {
            tokio::select! {
                Some(bid) = bids.recv() => println!("bid {:?}", bid.message().map(|bid| bid.price)),
                Some(ask) = asks.recv() => println!("ask {:?}", ask.message().map(|ask| ask.price)),
                // Both topics have ended.
                else => return Ok(()),
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("main").service(|| Market).service(|| Book).build()?;
    node.run(Tokio::current()?).await?;
    Ok(())
}
