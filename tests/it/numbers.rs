//! Pairs of nodes: one emits numbers, the other receives them.

use std::sync::mpsc::{Receiver, Sender, channel};

use mycelium::error::{BuildError, StartError};
use mycelium::{Builder, Node, Running, Topology};
use mycelium_tokio::Tokio;

use crate::loopback::host;
pub(crate) use crate::node::services::{Number, Source, taker};
pub(crate) use crate::running::within;
use crate::support::Directory;

/// Two nodes of a topology file, a sender and a receiver of numbers, and their directory.
pub(crate) struct Pair {
    pub(crate) text: String,
    pub(crate) directory: Directory,
    taken: Sender<u64>,
}

/// Makes the sender send nothing and stay until its shutdown.
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
            .named_service("Counter", move || Source { count, stays: count == NONE })
            .named_service("Stays", move || Source { count, stays: true })
            .service(move || taker(&taken))
            .named_service("Beside", move || taker(&beside));
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

/// Waits for the end of both nodes, and checks that all numbers have arrived once and in order.
pub(crate) async fn all_arrive(nodes: [Running; 2], received: &Receiver<u64>, count: u64) {
    for node in nodes {
        within(node.join()).await.unwrap();
    }
    assert!(received.try_iter().eq(0..count));
}

/// Returns the file of `far` and `near` with these services; the keys of their link come last.
pub(crate) fn two_nodes(far: &str, near: &str, transport: &str) -> String {
    let [there, here] = [(); 2].map(|()| host());
    format!(
        "[node.far]\nservices = {far}\naddress = \"{there}:7400\"\n[node.near]\n\
         services = {near}\naddress = \"{here}:7400\"\n[link.default]\n\
         transport = \"{transport}\"\nretry = \"1ms\"\nmax_retry = \"20ms\"\n"
    )
}
