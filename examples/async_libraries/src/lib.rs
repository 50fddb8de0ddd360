//! Services that use libraries of tokio: a web server, a database, and a client that runs on a
//! tokio of its own, because its node runs on another executor.

pub mod client;
pub mod database;
pub mod web;

use mycelium::{Context, Result, message, service};
use serde::{Deserialize, Serialize};

/// The price of a pair of tokens.
#[message(topic = "prices")]
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Price {
    /// The pair, such as `ETH/USD`.
    pub pair: String,
    /// The price in cents.
    pub cents: u64,
}

/// An order to buy.
#[message(topic = "orders")]
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Order {
    /// Its number, unique among all orders. An order that comes again has the same one.
    pub id: i64,
    /// The pair.
    pub pair: String,
    /// The highest price in cents.
    pub limit: u32,
}

/// Emits prices, twenty a second.
pub struct Market;

#[service(emits(Price))]
impl Market {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.interval(std::time::Duration::from_millis(50))?;
        for step in 0_u64.. {
            ticks.tick().await?;
            let pair = ["ETH/USD", "BTC/USD"][usize::from(step % 2 == 1)].to_owned();
            ctx.emit(Price { pair, cents: 100_000 + step * 7919 % 1000 }).await?;
        }
        Ok(())
    }
}
