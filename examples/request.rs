//! A service that requests and one that answers: `cargo run --example request` runs both in one
//! process, `-- oracle` and `-- desk` in a process each.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use std::time::Duration;

use mycelium::requests::{RequestError, Taken};
use mycelium::{Context, Node, Result, Topology, message, service};

#[message(topic = "price-requests", id = 1, reply = Price)]
struct PriceRequest {
    pool: u64,
}

#[message(topic = "prices", id = 2)]
struct Price {
    value: u64,
}

/// Knows the prices of the pools up to 3, and never answers for another one.
struct Oracle;

#[service(answers(PriceRequest))]
impl Oracle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<PriceRequest>();
        let mut unknown = Vec::new();
        while let Some(request) = requests.recv().await {
            match request.pool {
                1..=3 => _ = request.reply_with(|it| Price { value: it.pool * 100 }),
                _ => unknown.push(request),
            }
        }
        Ok(())
    }
}

struct Desk;

#[service(requests(PriceRequest))]
impl Desk {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        // All requests are open at the same time.
        let requests: Vec<_> = (1..=4).map(|pool| ctx.request(PriceRequest { pool })).collect();
        for (pool, request) in (1..).zip(requests) {
            match request.within(Duration::from_millis(500)).await {
                Ok(price) => println!("pool {pool} costs {}", price.value),
                Err(error) if error.taken() == Taken::No => println!("not asked: {error}"),
                Err(RequestError::Deadline { within, .. }) => {
                    println!("pool {pool} has no price within {within:?}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let node = Node::builder(&std::env::args().nth(1).unwrap_or_else(|| "all".to_owned()));
    let node = match std::env::args().len() {
        1 => node,
        _ => node.topology(Topology::parse(
            "request.toml",
            "[node.oracle]\nservices = [\"Oracle\"]\n[node.desk]\nservices = [\"Desk\"]\n",
        )?),
    };
    mycelium::run(node.service(|| Oracle).service(|| Desk))
}
