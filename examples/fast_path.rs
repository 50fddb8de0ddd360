//! The dual path: a strategy and its risk check are direct calls, and what they decide goes on to
//! the bus for a slower journal. `cargo run --example fast_path`.
//!
//! `cargo run --example fast_path -- services` runs the same two structs as services instead: each
//! with a queue of its own, on any thread, in any process.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use mycelium::emit::EmitError;
use mycelium::route::{Handler, Out, OutError};
use mycelium::{Context, Delivery, Error, Node, Result, message, routes, service};

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
    price: u64,
}

#[message(topic = "orders", id = 2)]
struct Order {
    tick: u64,
    size: u64,
}

/// Orders at each third tick, the more the lower the price is.
#[derive(Default)]
struct Strategy;

impl Handler<Tick> for Strategy {
    fn handle(&mut self, tick: &Tick, out: &mut Out<'_>) -> Result<()> {
        if tick.number.is_multiple_of(3) {
            out.try_emit(Order { tick: tick.number, size: 200 - tick.price })?;
        }
        Ok(())
    }
}

/// Stops the trading at a price that is too far from the last one.
#[derive(Default)]
struct Risk {
    last: Option<u64>,
}

impl Handler<Tick> for Risk {
    fn handle(&mut self, tick: &Tick, _: &mut Out<'_>) -> Result<()> {
        let last = self.last.replace(tick.price).unwrap_or(tick.price);
        match tick.price.abs_diff(last) {
            0..=20 => Ok(()),
            jump => Err(Error::msg(format!("tick {}: a jump of {jump}", tick.number))),
        }
    }
}

routes! {
    /// Each tick is checked, then handled, by two calls. After that it goes on to the bus.
    Fast: { Tick => [Risk, Strategy] -> bus }
}

/// A fast handler of the topic: it sees each order of this node before it is sent.
fn limit(order: &Order) -> Result<()> {
    match order.size {
        0..=95 => Ok(()),
        size => Err(Error::msg(format!("{size} exceeds 95"))),
    }
}

fn tick(number: u64) -> Tick {
    Tick { number, price: if number == 8 { 150 } else { 100 + 2 * number } }
}

const TICKS: u64 = 10;

/// Makes the ticks, and handles them at once.
struct Trader;

#[service(emits(Tick, Order))]
impl Trader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut fast = Fast::new(Risk::default(), Strategy);
        for tick in (0..TICKS).map(tick) {
            // A slow journal holds up the trader here, and not in a handler.
            ctx.until_below::<Tick>().await?;
            ctx.until_below::<Order>().await?;
            if let Err(error) = fast.route_to(&tick, &mut ctx.out()) {
                println!("refused: {error}");
            }
        }
        println!("the last price is {:?}", fast.risk().last);
        Ok(())
    }
}

/// Makes the ticks, for services.
struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for tick in (0..TICKS).map(tick) {
            ctx.emit(tick).await?;
        }
        Ok(())
    }
}

#[service(reads(Tick), emits(Order))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            let Delivery::Msg(tick) = delivery else { continue };
            if let Err(error) = self.handle(&tick, &mut ctx.out()) {
                // A refused order does not end the service; the message is in the error.
                let Some(OutError::Refused(EmitError { message, .. })) = error.downcast_ref()
                else {
                    return Err(error);
                };
                let Order { tick, size } = message;
                println!("refused: {error} (tick {tick}, size {size})");
            }
        }
        Ok(())
    }
}

#[service(reads(Tick))]
impl Risk {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        // A loop as in `Strategy`, in one call. An error ends it, and the service is restarted.
        ctx.handle::<Tick>(self).await
    }
}

/// Writes everything down, at its own pace.
struct Journal;

#[service(reads(Tick, Order))]
impl Journal {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut ticks, mut orders) = (ctx.subscribe::<Tick>()?, ctx.subscribe::<Order>()?);
        let (mut tick_count, mut ordered) = (0, 0);
        while ticks.recv().await.is_some() {
            tick_count += 1;
        }
        while let Some(delivery) = orders.recv().await {
            let Some(order) = delivery.message() else { continue };
            println!("journal: order of {} at tick {}", order.size, order.tick);
            ordered += order.size;
        }
        println!("journal: {tick_count} ticks, {ordered} ordered");
        Ok(())
    }
}

fn main() -> Result<()> {
    let node = Node::builder("main").service(|| Journal).fast_handler("limit", limit);
    let node = match std::env::args().nth(1).as_deref() {
        None => node.service(|| Trader),
        Some("services") => node.service(|| Feed).service(|| Strategy).service(Risk::default),
        Some(other) => {
            return Err(Error::msg(format!("unknown argument `{other}`: expected `services`")));
        }
    };
    mycelium::run(node)
}
