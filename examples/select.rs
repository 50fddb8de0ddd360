//! A service that reads two topics at once, takes the message that arrives first, and reports now
//! and then: `cargo run --example select`.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use std::time::Duration;

use mycelium::{Context, Node, Result, message, service};

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
        let mut reports = ctx.interval(Duration::from_secs(1))?;
        let (mut prices, mut has_bids, mut has_asks) = (0, true, true);
        while has_bids || has_asks {
            // A future that loses is dropped. It has taken nothing, so nothing is lost.
            tokio::select! {
                bid = bids.recv(), if has_bids => match bid {
                    Some(bid) => println!("bid {:?}", bid.message().map(|bid| bid.price)),
                    None => has_bids = false,
                },
                ask = asks.recv(), if has_asks => match ask {
                    Some(ask) => println!("ask {:?}", ask.message().map(|ask| ask.price)),
                    None => has_asks = false,
                },
                // At a shutdown `tick` returns an error, and `select!` waits for the other
                // branches.
                Ok(()) = reports.tick() => println!("{prices} so far"),
            }
            prices += 1;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    mycelium::run(Node::builder("main").service(|| Market).service(|| Book))
}
