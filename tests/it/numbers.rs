//! Services that emit numbers and receive them, for tests with two nodes.

use std::sync::mpsc::{Receiver, Sender, channel};

use mycelium::{
    BuildError, Builder, Context, Node, Result, Running, StartError, Topology, service,
};
use mycelium_tokio::Tokio;

pub(crate) use crate::node::services::{Number, Taker};
pub(crate) use crate::running::within;
use crate::support::Directory;

/// Emits `count` numbers, and then ends or waits for the shutdown.
pub(crate) struct Counter {
    pub(crate) count: u64,
    pub(crate) stays: bool,
}

#[service(emits(Number))]
impl Counter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..self.count {
            ctx.emit(Number { value }).await?;
        }
        if self.stays {
            ctx.shutdown_requested().await;
        }
        Ok(())
    }
}

/// The nodes of a file, of which one sends numbers and others take them, and their directory.
pub(crate) struct Pair {
    pub(crate) text: String,
    pub(crate) directory: Directory,
    taken: Sender<u64>,
}

/// The sender sends nothing, and stays until its shutdown.
pub(crate) const NONE: u64 = 0;

impl Pair {
    pub(crate) fn new(name: &str, text: impl Into<String>) -> (Pair, Receiver<u64>) {
        let (taken, received) = channel();
        let directory = Directory::new(&format!("nodes-{name}"));
        (Pair { text: text.into(), directory, taken }, received)
    }

    pub(crate) fn builder(&self, name: &str, count: u64) -> Result<Builder, BuildError> {
        let topology = Topology::parse("t.toml", &self.text)?.in_directory(&self.directory.0);
        let (taken, beside) = (self.taken.clone(), self.taken.clone());
        let builder = Node::builder(name)
            .topology(topology)
            .service(move || Counter { count, stays: count == NONE })
            .named_service("Stays", move || Counter { count, stays: true })
            .service(move || Taker(taken.clone()))
            .named_service("Beside", move || Taker(beside.clone()));
        Ok(builder)
    }

    pub(crate) fn build(&self, name: &str, count: u64) -> Result<Node, BuildError> {
        self.builder(name, count)?.build()
    }

    pub(crate) fn start(&self, name: &str, count: u64) -> Running {
        self.build(name, count).unwrap().start(Tokio::current().unwrap()).unwrap()
    }

    pub(crate) fn start_error(&self, name: &str) -> StartError {
        let started = self.build(name, 1).unwrap().start(Tokio::current().unwrap());
        started.map(drop).unwrap_err()
    }
}
