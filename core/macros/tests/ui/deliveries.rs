//! A gap that is not handled, and a request that is used after its reply.

use mycelium::*;

#[message(topic = "ticks", id = 1)]
struct Tick {
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

fn price(delivery: Delivery<Tick>) -> u64 {
    match delivery {
        Delivery::Msg(tick) => tick.price,
    }
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

fn main() {}
