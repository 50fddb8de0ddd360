//! Actors of other nodes, over each carrier: each request has one outcome, which says whether the
//! actor may have acted on it. Watchers learn of each end exactly once.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod killed;
mod outcomes;
mod watched;

use std::path::Path;
use std::time::Duration;

use mycelium::actors::{ActorContext, ActorRef, Actors, Gone, OnError, RemoteRef};
use mycelium::requests::Asked;
use mycelium::supervision::Restart;
use mycelium::{Error, Node, Result, Running, Topology, actor, message};
use mycelium_tokio::Tokio;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::loopback::host;
use crate::numbers::within;
use crate::running::end;
use crate::support::Directory;

#[message(topic = "deposits", id = 50, reply = Total)]
#[derive(Debug)]
struct Deposit {
    cents: u64,
}

#[message(topic = "totals", id = 51)]
#[derive(Debug, PartialEq)]
struct Total {
    cents: u64,
}

#[message(topic = "closings", id = 52, reply = Total)]
#[derive(Debug)]
struct Close {
    _cents: u64,
}

/// Deposits with these values make the bank fail, panic, or otherwise not reply at once.
const FAIL: u64 = 1 << 32;
const PANIC: u64 = FAIL + 1;
const KEEP: u64 = FAIL + 2;
const STOP: u64 = FAIL + 3;

/// Answers each request at once, unless its value says otherwise.
#[derive(Default)]
struct Bank {
    total: u64,
    kept: Option<UnboundedSender<Asked<Deposit>>>,
}

#[actor]
impl Bank {
    #[remote]
    fn deposit(&mut self, asked: Asked<Deposit>, ctx: &mut ActorContext<Self>) -> Result<()> {
        match (asked.cents, &self.kept) {
            (FAIL, _) => return Err(Error::msg("told to fail")),
            (PANIC, _) => panic!("told to panic"),
            (STOP, _) => ctx.stop(),
            (KEEP, Some(kept)) => return Ok(kept.send(asked)?),
            (cents, _) => self.total += cents,
        }
        asked.reply(Total { cents: self.total });
        Ok(())
    }

    fn on_error(&mut self, _error: &Error) -> OnError {
        OnError::Continue
    }
}

/// Reports what it learns about the actors with these addresses. It watches each twice.
struct Watcher(Vec<&'static str>, UnboundedSender<Gone>);

#[actor]
impl Watcher {
    fn started(&mut self, ctx: &mut ActorContext<Self>) -> Result<()> {
        for address in &self.0 {
            let other = ctx.actors().remote::<Bank>(address)?;
            ctx.watch_remote(&other);
            ctx.watch_remote(&other.clone());
        }
        Ok(())
    }

    fn gone(&mut self, gone: Gone) -> Result<()> {
        Ok(self.1.send(gone)?)
    }
}

fn watch(actors: &Actors, addresses: &[&'static str]) -> (ActorRef<Watcher>, Ends) {
    let (sent, ends) = unbounded_channel();
    let addresses = addresses.to_vec();
    (actors.spawn(move || Watcher(addresses.clone(), sent.clone())).unwrap(), ends)
}

type Ends = UnboundedReceiver<Gone>;

/// `desk` and `gate` ask the actors of `vault`, and `other` may not.
fn topology(transport: &str, directory: &Path) -> Topology {
    let text = format!(
        r#"
[node.desk]
services = []
address = "{}:7400"
[node.gate]
services = []
address = "{}:7400"
[node.other]
services = []
[node.vault]
services = []
actors_for = ["desk", "gate"]
address = "{}:7400"
[topic."actors@vault"]
capacity = 16
[topic."watches@vault"]
capacity = 16
[link.default]
transport = "{transport}"
trust = "network"
retry = "1ms"
max_retry = "20ms"
"#,
        host(),
        host(),
        host()
    );
    Topology::parse("remote.toml", &text).unwrap().in_directory(directory)
}

fn start(name: &str, topology: &Topology) -> Running {
    crate::running::start(Node::builder(name).topology(topology.clone()))
}

/// The nodes that most tests need.
struct Pair {
    desk: Running,
    vault: Running,
    topology: Topology,
    _directory: Directory,
}

impl Pair {
    fn new(name: &str, transport: &str) -> Pair {
        let directory = Directory::new(&format!("remote-{name}-{transport}"));
        let topology = topology(transport, &directory.0);
        let (desk, vault) = (start("desk", &topology), start("vault", &topology));
        Pair { desk, vault, topology, _directory: directory }
    }

    /// Returns a bank in the vault, and a reference to it in the desk. The bank lives as long as
    /// the local reference.
    fn bank(&self, name: &'static str) -> (ActorRef<Bank>, RemoteRef<Bank>) {
        let soon = Duration::from_millis(1);
        let restart = Restart { backoff: soon, longest: soon, ..Restart::default() };
        let actor = self.vault.actors().actor(Bank::default).name(name).restart(restart);
        (actor.spawn().unwrap(), self.remote(name))
    }

    fn remote(&self, name: &str) -> RemoteRef<Bank> {
        self.desk.actors().remote(&format!("vault/{name}")).unwrap()
    }

    /// Returns a bank that passes on the requests that it keeps.
    fn keeping(&self, name: &'static str) -> (ActorRef<Bank>, Kept) {
        keeping(&self.vault, name)
    }

    async fn end(self) {
        end(self.desk).await;
        end(self.vault).await;
    }
}

fn keeping(vault: &Running, name: &'static str) -> (ActorRef<Bank>, Kept) {
    let (sent, kept) = unbounded_channel();
    let bank = move || Bank { kept: Some(sent.clone()), total: 0 };
    (vault.actors().actor(bank).name(name).spawn().unwrap(), kept)
}

type Kept = UnboundedReceiver<Asked<Deposit>>;
