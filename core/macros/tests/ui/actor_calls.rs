//! Methods that cannot be calls, and calls that a reference does not have.

use mycelium::actors::{ActorContext, ActorRef, RemoteRef};
use mycelium::*;

struct ByReference;

#[actor]
impl ByReference {
    fn rename(&mut self, name: &str) {}
}

struct Nested;

#[actor]
impl Nested {
    fn rename(&mut self, names: Vec<&str>) {}
}

struct OfATrait;

#[actor]
impl OfATrait {
    fn rename(&mut self, name: impl Into<String>) {}
}

struct Generic;

#[actor]
impl Generic {
    fn rename<S: Into<String>>(&mut self, name: S) {}
}

struct Borrows(String);

#[actor]
impl Borrows {
    fn name(&self) -> &str {
        &self.0
    }
}

struct ContextFirst;

#[actor]
impl ContextFirst {
    fn rename(&mut self, ctx: &mut ActorContext<Self>, name: String) {}
}

struct Clashes;

#[actor]
impl Clashes {
    fn stop(&mut self) {}
}

struct ClashesRemotely;

#[message(topic = "nodes", id = 92, reply = Nodes)]
struct Nodes {
    count: u64,
}

#[actor]
impl ClashesRemotely {
    #[remote]
    fn node(&mut self, nodes: Nodes) -> Nodes {
        nodes
    }
}

struct Bank;

#[actor]
impl Bank {
    fn open(&mut self, cents: u64) -> u64 {
        cents
    }

    #[remote]
    fn nodes(&mut self, nodes: Nodes) -> Nodes {
        nodes
    }
}

async fn not_offered(bank: &mut RemoteRef<Bank>) -> Result<u64> {
    bank.nodes(Nodes { count: 1 }).await?;
    bank.open(7).await
}

async fn not_a_call(bank: &mut ActorRef<Bank>) -> Result<()> {
    bank.close().await?;
    bank.open("7").await?;
    Ok(())
}

struct NotSend;

#[actor]
impl NotSend {
    fn open(&mut self, cents: std::rc::Rc<u64>) {}
}

struct OtherReply;

#[actor]
impl OtherReply {
    #[remote]
    fn nodes(&mut self, nodes: Nodes) -> u64 {
        nodes.count
    }
}

fn main() {}
