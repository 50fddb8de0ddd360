//! Requests between two nodes, over each carrier: each has one outcome, which says whether a
//! service may have taken it, and none is taken twice. `requests/killed.rs` kills the answering
//! process, `requests/interrupted.rs` interrupts its links.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod interrupted;
mod killed;

use std::fmt::Display;
use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use futures_util::future::join;
use mycelium::requests::{Asked, RequestError, Taken};
use mycelium::{Builder, Context, Node, Result, Running, Topology, service};

pub(crate) use crate::conserved::requests as conserved;
use crate::loopback::host;
use crate::node::asks::{Answerer, Ask, Caller, Double, KEEP, ask, double};
use crate::running::{LONG, next, run, start};
use crate::support::Directory;

fn parsed(text: &str, directory: &Path) -> Topology {
    Topology::parse("requests.toml", text).unwrap().in_directory(directory)
}

fn topology(transport: &str, directory: &Path) -> Topology {
    parsed(&text(transport), directory)
}

fn text(transport: &str) -> String {
    let addresses = [(); 2].map(|()| format!("address = \"{}:7400\"", host()));
    text_of(&addresses, "doubles", transport, "")
}

/// Returns the topology with more keys for both nodes, the topic and the link.
fn text_of([desk, oracle]: &[impl Display; 2], topic: &str, transport: &str, link: &str) -> String {
    format!(
        r#"
[node.desk]
services = ["Caller"]
{desk}
[node.oracle]
services = ["Answerer"]
{oracle}
[service.Answerer]
backoff = "1ms"
max_restarts = 1000
[topic."{topic}"]
capacity = 16
[link.default]
transport = "{transport}"
retry = "1ms"
max_retry = "20ms"
{link}
"#
    )
}

/// The error of a request that no process can have taken.
const UNSENT: RequestError<Ask> = RequestError::Unreachable { taken: Taken::No, actor: None };
/// The error of a request that another process may have taken.
const LOST: RequestError<Ask> = RequestError::Unreachable { taken: Taken::Unknown, actor: None };

/// The values of a caller, each with its outcome.
type Outcomes = Receiver<(u64, Result<Double, RequestError<Ask>>)>;

fn node(
    name: &str,
    topology: &Topology,
    values: impl IntoIterator<Item = u64>,
    open: usize,
    within: Duration,
) -> (Builder, Outcomes, Arc<AtomicU64>) {
    let (sent, outcomes) = channel();
    let (values, taken) = (values.into_iter().collect::<Vec<_>>(), Arc::<AtomicU64>::default());
    let of_service = taken.clone();
    let node = Node::builder(name)
        .topology(topology.clone())
        .service(move || Answerer(of_service.clone()))
        .service(move || Caller { values: values.clone(), open, within, sent: sent.clone() });
    (node, outcomes, taken)
}

/// Waits until both nodes have ended by themselves.
async fn both_end(desk: Running, oracle: Running) {
    let (desk, oracle) = join(desk.join(), oracle.join()).await;
    conserved(&desk.unwrap().counters);
    conserved(&oracle.unwrap().counters);
}

/// Has many requests open at a time, and both nodes end by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_over_each_carrier() {
    for transport in ["unix", "shm", "tcp"] {
        let directory = Directory::new(&format!("requests-{transport}"));
        let topology = topology(transport, &directory.0);
        let (desk, outcomes, _) = node("desk", &topology, 0..500, 40, LONG);
        let (oracle, _, taken) = node("oracle", &topology, [], 1, LONG);
        both_end(start(desk), start(oracle)).await;
        for (value, outcome) in outcomes.try_iter() {
            assert_eq!(outcome, Ok(double(value)));
        }
        assert_eq!(taken.load(Ordering::Relaxed), 500);
    }
}

#[tokio::test]
async fn before_the_other_node_runs_a_request_waits_and_is_not_taken_at_its_deadline() {
    let directory = Directory::new("requests-before");
    let topology = topology("unix", &directory.0);
    let short = Duration::from_millis(100);
    let (desk, outcomes, _) = node("desk", &topology, 0..40, 20, short);
    let (oracle, _, taken) = node("oracle", &topology, [], 1, LONG);
    let second = async {
        // The first 20 requests end before the other node starts.
        let first = next(&outcomes).await;
        let outcomes: Vec<_> = iter::once(first).chain(outcomes.try_iter()).collect();
        assert_eq!(outcomes.len(), 20);
        for (_, outcome) in outcomes {
            assert_eq!(outcome, Err(UNSENT));
        }
        conserved(&run(oracle).await.counters);
    };
    let (report, ()) = join(run(desk), second).await;
    conserved(&report.counters);
    // Requests of the second round were taken at most once, requests of the first round never.
    assert!(taken.load(Ordering::Relaxed) <= 20);
}

/// Makes requests that the other node keeps for ever, waits until they are taken, and drops them.
struct Dropper(Arc<AtomicU64>);

#[service(requests(Ask))]
impl Dropper {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for _ in 0..3 {
            // As many as may be open.
            let taken = self.0.load(Ordering::Relaxed);
            let kept: Vec<_> = (0..8).map(|_| ctx.request(ask(KEEP))).collect();
            while self.0.load(Ordering::Relaxed) < taken + 8 {
                ctx.yield_now().await;
            }
            let next = ctx.request(ask(1));
            drop(kept);
            assert_eq!(next.await, Ok(double(1)));
        }
        let taken = self.0.load(Ordering::Relaxed);
        let kept = ctx.request(ask(KEEP));
        while self.0.load(Ordering::Relaxed) < taken + 1 {
            ctx.yield_now().await;
        }
        drop(kept);
        Ok(())
    }
}

#[tokio::test]
async fn requests_that_are_dropped_hold_up_neither_others_nor_the_end_of_the_nodes() {
    for transport in ["unix", "shm"] {
        let directory = Directory::new(&format!("requests-dropped-{transport}"));
        let topology = topology(transport, &directory.0);
        let taken = Arc::new(AtomicU64::new(0));
        let start = |name: &str| {
            let (answerer, dropper) = (taken.clone(), taken.clone());
            let node = Node::builder(name).topology(topology.clone());
            let node = node.service(move || Answerer(answerer.clone()));
            start(node.named_service("Caller", move || Dropper(dropper.clone())))
        };
        both_end(start("desk"), start("oracle")).await;
        assert_eq!(taken.load(Ordering::Relaxed), 3 * 9 + 1);
    }
}
