//! Hello across two processes. In one terminal `cargo run --example hello greeter`, in another
//! `cargo run --example hello listener`, in any order. You can stop and start either of them at any
//! time.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use std::time::Duration;

use mycelium::{Context, Delivery, FixedStr, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;

const TOPOLOGY: &str = r#"
[node.greeter]
services = ["Greeter"]
[node.listener]
services = ["Listener"]
"#;

#[message(topic = "greetings", id = 1)]
struct Greeting {
    number: u64,
    text: FixedStr<22>,
}

struct Greeter;

#[service(emits(Greeting))]
impl Greeter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 1..=10 {
            ctx.emit(Greeting { number, text: "hello from far away".try_into()? }).await?;
            ctx.sleep(Duration::from_millis(200)).await?;
        }
        Ok(())
    }
}

struct Listener;

#[service(reads(Greeting))]
impl Listener {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut greetings = ctx.subscribe::<Greeting>()?;
        while let Some(delivery) = greetings.recv().await {
            match delivery {
                Delivery::Msg(greeting) => println!("{}: {}", greeting.number, &*greeting.text),
                Delivery::Gap(gap) => println!("{gap}"),
            }
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let node = std::env::args()
        .nth(1)
        .ok_or("missing argument: expected the name of a node, greeter or listener")?;
    let topology = Topology::parse("hello.toml", TOPOLOGY)?;
    let node = Node::builder(&node).topology(topology).service(|| Greeter).service(|| Listener);
    node.build()?.run(Tokio::current()?).await?;
    Ok(())
}
