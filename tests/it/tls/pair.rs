//! Two nodes on two hosts: `far` sends numbers, `near` takes them.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mycelium::{BuildError, Context, Node, Result, Running, StartError, Topology, service};
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use mycelium_transports::counters::Kind;

use crate::certificates::Certificates;
use crate::loopback::host;
use crate::numbers::{Counter, Number, Taker, within};

pub(crate) const PORT: u16 = 7400;

/// `far` sends nothing, and stays until its shutdown.
pub(crate) const NONE: u64 = 0;

/// Reads numbers in a third node.
struct Beside;

#[service(reads(Number))]
impl Beside {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

pub(crate) struct Pair {
    pub(crate) text: String,
    directory: PathBuf,
    taken: Sender<u64>,
}

/// The locks of its sockets stay there.
impl Drop for Pair {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Pair {
    pub(crate) fn new(name: &str, text: String) -> (Pair, Receiver<u64>) {
        let name = format!("mycelium-tls-sockets-{name}-{}", std::process::id());
        let (taken, received) = channel();
        (Pair { text, directory: std::env::temp_dir().join(name), taken }, received)
    }

    pub(crate) fn build(&self, name: &str, count: u64) -> Result<Node, BuildError> {
        let topology = Topology::parse("t.toml", &self.text)?.in_directory(&self.directory);
        let taken = self.taken.clone();
        Node::builder(name)
            .topology(topology)
            .service(move || Counter { count, stays: count == NONE })
            .service(move || Taker(taken.clone()))
            .service(|| Beside)
            .build()
    }

    pub(crate) fn start(&self, name: &str, count: u64, executor: impl Executor) -> Running {
        self.build(name, count).unwrap().start(executor).unwrap()
    }

    pub(crate) fn start_error(&self, name: &str) -> StartError {
        let started = self.build(name, 1).unwrap().start(Tokio::current().unwrap());
        started.map(drop).unwrap_err()
    }
}

/// Two hosts with a node each. `far` has more keys, and so has the file.
pub(crate) fn two_hosts(certificates: &Certificates, far: &str, more: &str) -> String {
    format!(
        r#"
{}
[host.here]
address = "{}"
[host.there]
address = "{}"
[node.far]
host = "there"
services = ["Counter"]
{far}
[node.near]
host = "here"
services = ["Taker"]
[link.default]
retry = "1ms"
max_retry = "20ms"
{more}
"#,
        certificates.section(),
        host(),
        host()
    )
}

/// Ready once this is so.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// How many connections this node has had.
pub(crate) fn connections(running: &Running) -> u64 {
    of_links(running, "connections")
}

/// How many peers this node has rejected.
pub(crate) fn rejected(running: &Running) -> u64 {
    of_links(running, "rejected_peers")
}

fn of_links(running: &Running, value: &str) -> u64 {
    let lines = running.counters().into_iter().filter(|line| line.kind == Kind::Link);
    lines.map(|line| line.value(value)).sum()
}
