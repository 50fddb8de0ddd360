//! `cargo run`: prices at http://127.0.0.1:8480/prices, as events at `/events`; orders by POST to
//! `/orders`, which a database stores. `cargo run -- follow` prints the prices of the first
//! program, in a node that runs on smol.

use std::io::{Write, stdout};
use std::net::TcpListener;
use std::sync::Arc;

use async_libraries::client::Follower;
use async_libraries::database::Ledger;
use async_libraries::web::Web;
use async_libraries::{Market, Price};
use mycelium::{Context, Delivery, Node, Result, Topology, service};
use mycelium_smol::Smol;
use mycelium_tokio::Tokio;

const ADDRESS: &str = "127.0.0.1:8480";
/// `Web` serves the newest price of each pair. It holds up nobody.
const TOPOLOGY: &str = "subscription.\"Web.prices\" = { policy = \"latest\", key = \"pair\" }";

type Ended = std::result::Result<(), Box<dyn std::error::Error>>;

fn main() -> Ended {
    let runtime = tokio::runtime::Runtime::new()?;
    match std::env::args().nth(1).as_deref() {
        None => runtime.block_on(serve()),
        Some("follow") => {
            let tokio = runtime.handle().clone();
            mycelium_smol::run(1, async move |smol| follow(smol, tokio).await)?
        }
        Some(other) => {
            Err(format!("unknown command `{other}`: expected `follow` or nothing").into())
        }
    }
}

async fn serve() -> Ended {
    let listener = TcpListener::bind(ADDRESS).map_err(|error| format!("{ADDRESS}: {error}"))?;
    println!("prices: http://{ADDRESS}/prices, events: http://{ADDRESS}/events");
    let node = Node::builder("main").topology(Topology::parse("the topology", TOPOLOGY)?);
    let node = node.service(|| Market).service(|| Ledger::new("orders.db".into()));
    let listener = Arc::new(listener);
    let node = node.service(move || Web::new(&listener));
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}

async fn follow(smol: Smol, tokio: tokio::runtime::Handle) -> Ended {
    let url = format!("http://{ADDRESS}/prices");
    let node = Node::builder("follower").service(|| Printer);
    let node = node.service(move || Follower::new(tokio.clone(), &url));
    node.build()?.run(smol).await?;
    Ok(())
}

/// Prints prices.
struct Printer;

#[service(reads(Price))]
impl Printer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut prices = ctx.subscribe::<Price>()?;
        while let Some(delivery) = prices.recv().await {
            if let Delivery::Msg(price) = delivery
                && writeln!(stdout(), "{} {}", price.pair, price.cents).is_err()
            {
                // Nobody reads the output any more.
                ctx.shutdown();
            }
        }
        Ok(())
    }
}
