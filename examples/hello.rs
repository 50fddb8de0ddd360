//! Hello across two processes. In one terminal `cargo run --example hello greeter`, in another
//! `cargo run --example hello listener`, in any order. You can stop and start either of them at any
//! time.
#![allow(clippy::print_stdout, reason = "this is a command-line program")]

use std::time::Duration;

use mycelium::{Context, Error, Node, Result, Topology, message, service};

#[message(topic = "greetings")]
struct Greeting {
    text: String,
}

struct Greeter;
#[service(emits(Greeting))]
impl Greeter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for _ in 0..10 {
            ctx.emit(Greeting { text: "hello from far away".to_owned() }).await?;
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
            println!("{:?}", delivery.message().map(|greeting| greeting.text));
        }
        Ok(())
    }
}

/// Which process runs which service.
const TOPOLOGY: &str = r#"
node.greeter.services = ["Greeter"]
node.listener.services = ["Listener"]
"#;

fn main() -> Result<()> {
    let node = std::env::args().nth(1).ok_or(Error::msg("expected a name: greeter or listener"))?;
    let node = Node::builder(&node).service(|| Greeter).service(|| Listener);
    // `mycelium check` runs the program with `--describe`, perhaps in another directory.
    let node = node.describe_on_request();
    // Usually a file: `Topology::load("hello.toml")`.
    mycelium::run(node.topology(Topology::parse("hello.toml", TOPOLOGY)?))
}
