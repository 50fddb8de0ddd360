//! Two programs that find each other, on one host or in one network, without any address. In
//! `transports/zenoh`:
//!
//! ```text
//! cargo run --example prices -- feed      # in one terminal
//! cargo run --example prices -- board     # in others, here or on other machines
//! ```
//!
//! Each board prints once a second how many prices it has got, and how many it has missed. Stop and
//! start any of them. A number after the name is a time in seconds, after which the program ends.

use std::process::ExitCode;
use std::time::Duration;

use mycelium::{Context, Delivery, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;
use mycelium_zenoh::Zenoh;

const TOPOLOGY: &str = r#"
[node.feed]
services = ["Feed"]

[node.board]
services = ["Board"]

[topic.prices]
transport = "zenoh"

[subscription."Board.prices"]
policy = "drop-oldest"
"#;

#[message(topic = "prices", id = 1)]
struct Price {
    number: u64,
    cents: u64,
}

struct Feed;

#[service(emits(Price))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0.. {
            ctx.emit(Price { number, cents: 1000 + number % 100 }).await?;
            ctx.sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    }
}

struct Board;

#[service(reads(Price))]
impl Board {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut prices = ctx.subscribe::<Price>()?;
        let (mut got, mut missed, mut last) = (0, 0, 0);
        let mut second = ctx.interval(Duration::from_secs(1))?;
        loop {
            tokio::select! {
                delivery = prices.recv() => match delivery {
                    Some(Delivery::Msg(price)) => (got, last) = (got + 1, price.cents),
                    Some(Delivery::Gap(gap)) => missed += gap.count,
                    None => return Ok(()),
                },
                tick = second.tick() => {
                    tick?;
                    println!("{got} prices, {missed} missed, the last one {last} cents");
                }
            }
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let seconds = arguments.next().map(|time| time.parse().expect("a number of seconds"));
    let run = async {
        let topology = Topology::parse("prices.toml", TOPOLOGY)?;
        let node = Node::builder(&name).topology(topology).service(|| Feed).service(|| Board);
        let running = node.engine::<Zenoh>().build()?.start(Tokio::current()?)?;
        if let Some(seconds) = seconds {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            running.shutdown();
        }
        running.join().await?;
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    match run.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
