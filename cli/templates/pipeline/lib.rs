//! A pipeline of three services: prices, their averages, and a chart of these.

use std::io::{Write, stdout};
use std::time::Duration;

use mycelium::{Builder, Context, Delivery, Node, Result, Topology, message, service};

/// A price.
#[message(topic = "prices")]
pub struct Price {
    pub cents: u64,
}

/// The average of ten prices.
#[message(topic = "averages")]
#[derive(Debug, PartialEq)]
pub struct Average {
    pub cents: u64,
}

/// Emits a hundred prices a second.
pub struct Market;

#[service(emits(Price))]
impl Market {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut clock = ctx.interval(Duration::from_millis(10))?;
        let mut cents = 4_000;
        loop {
            // An error after Ctrl-C: this service ends, and its readers when they have read all.
            clock.tick().await?;
            cents = (cents + ctx.random() % 401).saturating_sub(200).clamp(1_000, 7_000);
            ctx.emit(Price { cents }).await?;
        }
    }
}

/// Emits the average of each ten prices.
pub struct Mean;

#[service(reads(Price), emits(Average))]
impl Mean {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut prices = ctx.subscribe::<Price>()?;
        let (mut sum, mut count) = (0, 0);
        while let Some(delivery) = prices.recv().await {
            match delivery {
                Delivery::Msg(price) => (sum, count) = (sum + price.cents, count + 1),
                // Nothing is lost without a word: another process may have died.
                Delivery::Gap(gap) => ctx.warn("prices are missing", gap),
            }
            if count == 10 {
                ctx.emit(Average { cents: sum / 10 }).await?;
                (sum, count) = (0, 0);
            }
        }
        Ok(())
    }
}

/// Prints averages as a chart.
pub struct Chart;

#[service(reads(Average))]
impl Chart {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut averages = ctx.subscribe::<Average>()?;
        while let Some(delivery) = averages.recv().await {
            let Delivery::Msg(average) = delivery else { continue };
            let (dollars, cents) = (average.cents / 100, average.cents % 100);
            let bar = "▇".repeat(dollars as usize);
            if writeln!(stdout(), "{dollars:>3}.{cents:02} {bar}").is_err() {
                // Nobody reads the output any more.
                ctx.shutdown();
            }
        }
        Ok(())
    }
}

/// Returns a node with the services that the topology places in it.
pub fn node(name: &str, topology: Topology) -> Builder {
    let node = Node::builder(name).topology(topology);
    node.service(|| Market).service(|| Mean).service(|| Chart)
}
