//! The members of a pipeline of nodes: a source, a middle that forwards its messages, and a sink. A
//! test sets variables that say where one of them stops.

use std::path::PathBuf;
use std::time::Duration;

use mycelium::error::StartError;
use mycelium::execution::end_with_launcher;
use mycelium::{Builder, Context, Delivery, Node, Result, Topology, message, service};
use mycelium_bundle::Bundle;
use mycelium_tokio::Tokio;
use tokio::signal::unix::{SignalKind, signal};

use crate::bundle::roles::say;
use crate::lines::Each;

/// The variable with the directory of a test's sockets.
pub(crate) const DIRECTORY: &str = "MYCELIUM_TEST_DIRECTORY";
/// The variable that says what this process does differently.
pub(crate) const DOES: &str = "MYCELIUM_TEST_DOES";
/// The number of messages.
pub(crate) const COUNT: u64 = 40;

#[message(topic = "raw", id = 1)]
struct Raw {
    value: u64,
}

#[message(topic = "refined", id = 2)]
struct Refined {
    value: u64,
}

/// Emits all messages. With "waits", waits for SIGUSR1 after the first one.
struct Source;

#[service(emits(Raw))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut go_on = signal(SignalKind::user_defined1())?;
        for value in 0..COUNT {
            ctx.emit(Raw { value }).await?;
            if value == 0 && does("waits") {
                go_on.recv().await;
            }
        }
        Ok(())
    }
}

/// Forwards each message. With "stays", does not end by itself.
struct Middle;

#[service(reads(Raw), emits(Refined))]
impl Middle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut raw = ctx.subscribe::<Raw>()?;
        while let Some(delivery) = raw.recv().await {
            match delivery {
                Delivery::Msg(message) => ctx.emit(Refined { value: message.value }).await?,
                Delivery::Gap(gap) => say(&format!("misses {gap}")),
            }
        }
        if does("stays") {
            ctx.shutdown_requested().await;
        }
        Ok(())
    }
}

/// Reports how many messages it has received.
struct Sink;

#[service(reads(Refined))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut refined = ctx.subscribe::<Refined>()?;
        let mut next = 0;
        while let Some(delivery) = refined.recv().await {
            match delivery {
                Delivery::Msg(message) => {
                    assert_eq!(message.value, next);
                    next += 1;
                    if next == 1 {
                        say("got the first");
                    }
                }
                Delivery::Gap(_) => say("gap"),
            }
        }
        say(&format!("got {next}"));
        Ok(())
    }
}

fn does(what: &str) -> bool {
    std::env::var(DOES).is_ok_and(|does| does == what)
}

/// Short timeouts: a silent link ends soon, and a shutdown even sooner.
const TOPOLOGY: &str = r#"
[node.source]
services = ["Source"]
shutdown = "150ms"
[node.middle]
services = ["Middle"]
shutdown = "150ms"
[node.sink]
services = ["Sink"]
[topic.raw]
capacity = 64
[topic.refined]
capacity = 64
[link.default]
retry = "1ms"
max_retry = "20ms"
keep_alive = "100ms"
silence = "500ms"
"#;

/// Runs the node with this name, as `main` of a member does, and returns its exit code.
pub(crate) fn run(name: &str) -> u8 {
    tracing::subscriber::set_global_default(Each(report)).unwrap();
    let node = Node::builder(name).service(|| Source).service(|| Middle).service(|| Sink);
    run_member(node, TOPOLOGY)
}

/// Runs a node of this topology in the test's directory, and returns its exit code.
pub(crate) fn run_member(node: Builder, topology: &str) -> u8 {
    end_with_launcher(Duration::from_secs(30)).unwrap();
    let directory = PathBuf::from(std::env::var(DIRECTORY).unwrap());
    let topology = Topology::parse("pipe.toml", topology).unwrap().in_directory(directory);
    let node = node.topology(topology).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async { node.run(Tokio::current().unwrap()).await });
    let Err(error) = ended else { return 0 };
    say(&format!("failed: {error}"));
    if let StartError::Undelivered { .. } = error { Bundle::UNDELIVERED } else { 1 }
}

/// Reports links that end because the peer is silent, and peers whose names are rejected.
fn report(line: String) {
    if line.contains("message=disconnected from node `sink`: the peer has sent nothing") {
        say("has lost its reader");
    }
    if line.contains("this name belongs to process") {
        say("refuses a name");
    }
}
