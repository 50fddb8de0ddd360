//! A request that is used in the arguments of its `reply`.
//!
//! `reply` takes the request away. Write `request.reply_with(|request| ..)`.

#[message(topic = "price-requests", id = 90, reply = Price)]
struct PriceRequest {
    pool: u64,
}

#[message(topic = "prices", id = 91)]
struct Price {
    value: u64,
}

struct Oracle;

#[service(answers(PriceRequest))]
impl Oracle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<PriceRequest>();
        while let Some(request) = requests.recv().await {
            request.reply(Price { value: request.pool });
        }
        Ok(())
    }
}
