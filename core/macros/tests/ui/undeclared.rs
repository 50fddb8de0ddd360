//! What a service does and has not declared.

use mycelium::*;

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

#[message(topic = "orders", id = 2)]
struct Order {
    price: u64,
}

#[message(topic = "price-requests", id = 90, reply = Price)]
struct PriceRequest {
    pool: u64,
}

#[message(topic = "prices", id = 91)]
struct Price {
    value: u64,
}

struct Strategy;

#[service(reads(Tick))]
impl Strategy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Order { price: 1 }).await?;
        Ok(())
    }
}

struct Trader;

#[service(emits(Order as orders))]
impl Trader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.request(PriceRequest { pool: 7 }).await?;
        ctx.requests::<PriceRequest>();
        ctx.on(Self::order).emit(Order { price: 1 }).await?;
        ctx.on(Self::orders).emit(Tick { price: 1 }).await?;
        Ok(())
    }
}

struct Source;

#[service(emits(Order, Tick))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.subscribe::<Tick>()?;
        let tick = Tick { price: 1 };
        ctx.emit(&tick).await?;
        Ok(())
    }
}

fn main() {}
