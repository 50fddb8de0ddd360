//! The start of a hundred services in five processes that are joined by TCP, beside five processes
//! that connect to each other and do nothing else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use mycelium::{Builder, Context, Node, Result, Topology};
use mycelium_core::message;

use super::executor::host::{Host, OnTokio};
use crate::affinity::Cores;
use crate::harness::{Column, Mismatch, Round};
use crate::processes::{Parent, Talk, Worker};

/// Processes with a node each. A node reads the topic of the one before it, and the first that of
/// the last.
const NODES: usize = 5;
/// Services of each node: one that publishes, and those that read.
const SERVICES: usize = 20;

#[message(topic = "ticks", id = 1)]
struct Tick {
    number: u64,
}

struct Waiting;

#[mycelium::service(reads(Tick as input))]
impl Waiting {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe_on(Self::input)?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

struct Source;

#[mycelium::service(emits(Tick as output))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        Ok(())
    }
}

/// An operation starts the processes, until each of their nodes has met the other two that it
/// shares a topic with. Their end is not timed.
pub(crate) fn nodes(name: &'static str, cores: &Cores) -> Column {
    let cores = cores.clone();
    started(name, move || {
        // Addresses that no other operation of this or another run has.
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let [.., high, low] = std::process::id().to_be_bytes();
        let network = format!("127.{}.{low}.{}", high | 0x80, NEXT.fetch_add(1, Ordering::Relaxed));
        (0..NODES)
            .map(|node| Worker::start(&cores, &format!("many-nodes {network} {node}")))
            .collect()
    })
}

/// An operation starts the processes, until each of them has connected to the one before it.
pub(crate) fn sockets(name: &'static str, cores: &Cores) -> Column {
    let cores = cores.clone();
    started(name, move || {
        let start = |_| Worker::start(&cores, "many-sockets");
        let mut workers: Vec<Worker> = (0..NODES).map(start).collect();
        let ports: Vec<[usize; 1]> = workers.iter_mut().map(Worker::numbers).collect();
        for (worker, [port]) in workers.iter_mut().zip(ports.iter().cycle().skip(NODES - 1)) {
            worker.say(port);
        }
        workers
    })
}

fn started(name: &'static str, mut start: impl FnMut() -> Vec<Worker> + 'static) -> Column {
    Column::new(name, move |operations| {
        let mut took = Duration::ZERO;
        for _ in 0..operations {
            let begin = Instant::now();
            let mut workers = start();
            for worker in &mut workers {
                worker.hear().ok_or_else(|| Mismatch::new(name, "a process has ended"))?;
            }
            took += begin.elapsed();
        }
        Ok(Round::Total(took))
    })
}

/// Runs a node, until this process is killed.
pub(super) fn serve_node(network: &str, node: &str) {
    let builder = builder(&format!("n{node}"), network);
    let node = builder.build().expect("the services fit together");
    OnTokio::run(|executor| {
        Box::pin(async move {
            let running = node.start(executor).expect("the node has all it needs");
            running.ready().await.expect("the node does not end");
            Parent.say(&"");
            std::future::pending().await
        })
    });
}

/// A node of the topology.
fn builder(name: &str, network: &str) -> Builder {
    let before = |node: usize| (node + NODES - 1) % NODES;
    let mut text = String::from("[link.default]\ntransport = \"tcp\"\n");
    for node in 0..NODES {
        let services = (0..SERVICES).map(|service| format!("\"s{node}-{service}\""));
        let services = services.collect::<Vec<_>>().join(", ");
        let port = 7400 + node;
        text +=
            &format!("[node.n{node}]\naddress = \"{network}:{port}\"\nservices = [{services}]\n");
    }
    let topology = Topology::parse("nodes.toml", &text).expect("the text is a topology");
    let mut builder = Node::builder(name).topology(topology);
    for node in 0..NODES {
        for service in 0..SERVICES {
            let name = format!("s{node}-{service}");
            builder = match service {
                0 => builder.named_service(&name, || Source).bind(
                    &name,
                    "output",
                    &format!("t{node}"),
                ),
                _ => builder.named_service(&name, || Waiting).bind(
                    &name,
                    "input",
                    &format!("t{}", before(node)),
                ),
            };
        }
    }
    builder
}

/// Listens, connects to another process and accepts one.
pub(super) fn serve_socket(parent: &mut Parent) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
    parent.say(&listener.local_addr().expect("it is bound").port());
    let [port] = parent.numbers();
    let port = u16::try_from(port).expect("a port");
    let mut there = TcpStream::connect(("127.0.0.1", port)).expect("the other one listens");
    there.write_all(b"x").expect("the other one reads");
    let (mut here, _) = listener.accept().expect("the other one connects");
    here.read_exact(&mut [0]).expect("the other one writes");
    parent.say(&"");
    while parent.hear().is_some() {}
}
