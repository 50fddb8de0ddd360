//! What this example has beside the services of bandit: live prices, and simulated fills.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use bandit::messages::{EnrichedSwap, Key, Signal};
use mycelium::subscribe::Received;
use mycelium::{Context, Delivery, Error, Result, message, service};

/// How long a simulated fill takes.
const FILL: Duration = Duration::from_millis(100);
/// The size of an order, in units of token 0.
const SIZE: f64 = 100_000.0;
/// How often boards and the ticker write where they are.
const NOTE: Duration = Duration::from_millis(200);

/// The price of a pool.
#[message(topic = "prices", id = 11, pad)]
pub struct Price {
    /// The number of prices before it.
    number: u64,
    pool: [u8; 20],
    price: f64,
}

/// Trade the difference of two pools.
#[message(topic = "orders", id = 12)]
pub struct Order {
    /// The swap that caused it.
    key: Key,
    prices: [f64; 2],
}

/// An order was carried out.
#[message(topic = "fills", id = 13)]
pub struct Fill {
    /// The swap that caused it.
    key: Key,
    /// What [`SIZE`] units of token 0 have earned, in token 1.
    earned: f64,
    /// The simulator.
    by: String,
}

/// Returns the message of a delivery. These topics lose none, so a gap is an error.
fn whole<M>(delivery: Delivery<M>) -> Result<Received<M>> {
    match delivery {
        Delivery::Msg(message) => Ok(message),
        Delivery::Gap(gap) => Err(Error::msg(format!("lost messages: {gap}")).permanent()),
    }
}

/// Emits the price after each swap.
pub struct Ticker {
    /// Has the number of prices.
    pub note: PathBuf,
}

#[service(reads(EnrichedSwap), emits(Price))]
impl Ticker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut swaps = ctx.subscribe::<EnrichedSwap>()?;
        let (mut number, mut tick, mut ends) = (0, ctx.interval(NOTE)?, false);
        loop {
            tokio::select! {
                delivery = swaps.recv() => match delivery {
                    Some(delivery) => {
                        let swap = whole(delivery)?;
                        ctx.emit(Price::new(number, swap.pool, swap.price)).await?;
                        number += 1;
                    }
                    None => return Ok(()),
                },
                tick = tick.tick(), if !ends => {
                    ends = tick.is_err();
                    fs::write(&self.note, number.to_string())?;
                }
            }
        }
    }
}

/// Watches the prices: each must be the next one, unless a gap says how many are missing.
pub struct Board {
    /// Has the number of the next price.
    pub note: PathBuf,
}

#[service(reads(Price))]
impl Board {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut prices = ctx.subscribe::<Price>()?;
        let (mut seen, mut missing, mut next) = (0, 0, None);
        let (mut tick, mut ends) = (ctx.interval(NOTE)?, false);
        loop {
            tokio::select! {
                delivery = prices.recv() => match delivery {
                    Some(Delivery::Msg(price)) => {
                        let number = price.number;
                        if let Some(next) = next.filter(|next| *next != number) {
                            let problem = format!("price {number} after {next}, and no gap");
                            return Err(Error::msg(problem).permanent());
                        }
                        (seen, next) = (seen + 1, Some(number + 1));
                    }
                    // The ticker was away: it may have sent more.
                    Some(Delivery::Gap(gap)) if !gap.exact() => next = None,
                    Some(Delivery::Gap(gap)) => {
                        missing += gap.count;
                        next = next.map(|next| next + gap.count);
                    }
                    None => break,
                },
                tick = tick.tick(), if !ends => {
                    ends = tick.is_err();
                    fs::write(&self.note, next.unwrap_or(0).to_string())?;
                }
            }
        }
        println!("{seen} prices, and {missing} missing, as it was told");
        Ok(())
    }
}

/// Makes each signal an order.
pub struct Trader;

#[service(reads(Signal), emits(Order))]
impl Trader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut signals = ctx.subscribe::<Signal>()?;
        while let Some(delivery) = signals.recv().await {
            let signal = whole(delivery)?;
            // This example has two pools.
            let price = |place| signal.legs.get(place).map_or(0.0, |leg| leg.price);
            ctx.emit(Order { key: signal.key, prices: [price(0), price(1)] }).await?;
        }
        Ok(())
    }
}

/// Simulates the fill of each order that it gets.
pub struct Simulator {
    /// Its node.
    pub name: String,
}

#[service(reads(Order), emits(Fill))]
impl Simulator {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe::<Order>()?;
        while let Some(delivery) = orders.recv().await {
            let order = whole(delivery)?;
            ctx.sleep(FILL).await?;
            let [one, other] = order.prices;
            let earned = SIZE * (one - other).abs();
            ctx.emit(Fill { key: order.key, earned, by: self.name.clone() }).await?;
            // If this process dies before the fill is stored, another simulator gets the order.
            ctx.confirmed().await;
        }
        Ok(())
    }
}

/// Writes each fill to a file, once.
pub struct Ledger {
    /// The file: a line for each fill.
    pub path: PathBuf,
}

#[service(reads(Fill))]
impl Ledger {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut fills = ctx.subscribe::<Fill>()?;
        let (mut file, mut known) = (fs::File::create(&self.path)?, BTreeSet::new());
        while let Some(delivery) = fills.recv().await {
            if matches!(&delivery, Delivery::Gap(gap) if !gap.exact()) {
                // A simulator was killed. Another one gets the orders whose fills it has not stored.
                continue;
            }
            let Fill { key, earned, by } = whole(delivery)?.into_inner();
            if known.insert(key) {
                writeln!(file, "{} {} {earned:.3} {by}", key.block, key.log_index)?;
            }
        }
        Ok(())
    }
}
