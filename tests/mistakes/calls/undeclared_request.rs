//! A request that the service does not declare.
//!
//! Write `#[service(requests(PriceRequest))]`.

#[message(topic = "price-requests", id = 90, reply = Price)]
struct PriceRequest {
    pool: u64,
}

#[message(topic = "prices", id = 91)]
struct Price {
    value: u64,
}

struct Trader;

#[service()]
impl Trader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let price = ctx.request(PriceRequest { pool: 7 }).await?;
        ctx.info("price", price.value);
        Ok(())
    }
}
