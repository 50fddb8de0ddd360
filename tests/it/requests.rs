//! Requests between two nodes, over each carrier: each has one outcome, which
//! says whether a service may have had it, and none is taken twice. `requests/killed.rs` kills the
//! process that answers, `requests/interrupted.rs` interrupts its links.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod interrupted;
mod killed;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures_util::future::join;
use mycelium::{Asked, Builder, Context, Node, RequestError, Result, Taken, Topology, service};

pub(crate) use crate::conserved::requests as conserved;
use crate::loopback::host;
use crate::node::asks::{Answerer, Ask, Caller, Double, END, FAIL, KEEP, ask, double};
use crate::running::{end, start};
use crate::support::Directory;

fn parsed(text: &str, directory: &Path) -> Topology {
    Topology::parse("requests.toml", text).unwrap().in_directory(directory)
}

fn topology(transport: &str, directory: &Path) -> Topology {
    parsed(&text(transport), directory)
}

fn text(transport: &str) -> String {
    format!(
        r#"
[node.desk]
services = ["Caller"]
address = "{}:7400"
[node.oracle]
services = ["Answerer"]
address = "{}:7400"
[service.Answerer]
backoff = "1ms"
max_restarts = 1000
[topic.doubles]
capacity = 16
[link.default]
transport = "{transport}"
retry = "1ms"
max_retry = "20ms"
"#,
        host(),
        host()
    )
}

/// What a caller of these values gets.
type Outcomes = Receiver<(u64, Result<Double, RequestError<Ask>>)>;

fn node(
    name: &str,
    topology: &Topology,
    values: impl IntoIterator<Item = u64>,
    open: usize,
    within: Duration,
) -> (Builder, Outcomes, Arc<AtomicU64>) {
    let (sent, outcomes) = channel();
    let (values, taken) = (values.into_iter().collect::<Vec<_>>(), Arc::new(AtomicU64::new(0)));
    let node = Node::builder(name).topology(topology.clone());
    let node = node.service({
        let taken = taken.clone();
        move || Answerer(taken.clone())
    });
    let node =
        node.service(move || Caller { values: values.clone(), open, within, sent: sent.clone() });
    (node, outcomes, taken)
}

const LONG: Duration = Duration::from_secs(30);

/// Many at a time, and both nodes end by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_over_each_carrier() {
    for transport in ["unix", "shm", "tcp"] {
        let directory = Directory::new(&format!("requests-{transport}"));
        let topology = topology(transport, &directory.0);
        let (desk, outcomes, _) = node("desk", &topology, 0..500, 40, LONG);
        let (oracle, _, taken) = node("oracle", &topology, [], 1, LONG);
        let desk = start(desk);
        let oracle = start(oracle);
        let (desk, oracle) = join(desk.join(), oracle.join()).await;
        conserved(&desk.unwrap().counters);
        conserved(&oracle.unwrap().counters);
        for (value, outcome) in outcomes.try_iter() {
            assert_eq!(outcome, Ok(double(value)));
        }
        assert_eq!(taken.load(Ordering::Relaxed), 500);
    }
}

#[tokio::test]
async fn a_failure_in_the_other_node_is_the_outcome_of_its_request_alone() {
    let directory = Directory::new("requests-failure");
    let topology = topology("unix", &directory.0);
    let (desk, outcomes, _) = node("desk", &topology, [1, FAIL, 2, END, 3], 1, LONG);
    let (oracle, _, _) = node("oracle", &topology, [], 1, LONG);
    let desk = start(desk);
    let oracle = start(oracle);
    conserved(&desk.join().await.unwrap().counters);
    conserved(&oracle.join().await.unwrap().counters);
    let outcomes: Vec<_> = outcomes.try_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes[0], Ok(double(1)));
    assert_eq!(outcomes[1], Err(RequestError::HandlerFailed { actor: None }));
    assert_eq!(outcomes[2], Ok(double(2)));
    assert_eq!(outcomes[3], Err(RequestError::HandlerFailed { actor: None }));
    assert_eq!(outcomes[4], Err(RequestError::Gone { actor: None }));
}

#[tokio::test]
async fn before_the_other_node_runs_a_request_waits_and_is_not_taken_at_its_deadline() {
    let directory = Directory::new("requests-before");
    let topology = topology("unix", &directory.0);
    let short = Duration::from_millis(100);
    let (desk, outcomes, _) = node("desk", &topology, 0..40, 20, short);
    let (oracle, _, taken) = node("oracle", &topology, [], 1, LONG);
    let desk = start(desk);
    let second = async {
        // The first 20 have ended before the other node starts.
        let outcomes: Vec<_> = loop {
            let got: Vec<_> = outcomes.try_iter().collect();
            if !got.is_empty() {
                break got;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(outcomes.len(), 20);
        for (_, outcome) in outcomes {
            let unreachable = RequestError::Unreachable { taken: Taken::No, actor: None };
            assert_eq!(outcome, Err(unreachable));
        }
        let oracle = start(oracle);
        conserved(&oracle.join().await.unwrap().counters);
    };
    let (report, ()) = join(desk.join(), second).await;
    conserved(&report.unwrap().counters);
    // Those of the second round were taken at most once, and never those of the first.
    assert!(taken.load(Ordering::Relaxed) <= 20);
}

#[tokio::test]
async fn deadlines_travel_and_requests_that_are_kept_for_ever_do_not_stop_others() {
    let directory = Directory::new("requests-kept");
    let topology = topology("shm", &directory.0);
    // 8 calls are open at most: each of these would hold a place for ever.
    let values = (0..30).map(|_| KEEP).chain([1, 2, 3]);
    let short = Duration::from_millis(50);
    let (desk, outcomes, _) = node("desk", &topology, values, 3, short);
    let (oracle, _, taken) = node("oracle", &topology, [], 1, LONG);
    let oracle = start(oracle);
    let desk = start(desk);
    desk.ready().await.unwrap();
    conserved(&desk.join().await.unwrap().counters);
    let outcomes: Vec<_> = outcomes.try_iter().collect();
    assert_eq!(outcomes.len(), 33);
    for (value, outcome) in &outcomes[..30] {
        assert_eq!(*value, KEEP);
        let error = outcome.as_ref().unwrap_err();
        assert!(
            matches!(error, RequestError::Deadline { .. } | RequestError::Unreachable { .. }),
            "{error}"
        );
    }
    assert_eq!(outcomes[30..].iter().filter(|(_, outcome)| outcome.is_ok()).count(), 3);
    assert!(taken.load(Ordering::Relaxed) <= 33);
    conserved(&end(oracle).await.counters);
}

/// Waits until the other node's service has taken requests that it keeps for ever, then drops them.
struct Dropper(Arc<AtomicU64>);

#[service(requests(Ask))]
impl Dropper {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for _ in 0..3 {
            // As many calls as can be open.
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
            let node = node.named_service("Caller", move || Dropper(dropper.clone()));
            start(node)
        };
        let (desk, oracle) = (start("desk"), start("oracle"));
        let (desk, oracle) = join(desk.join(), oracle.join()).await;
        conserved(&desk.unwrap().counters);
        conserved(&oracle.unwrap().counters);
        assert_eq!(taken.load(Ordering::Relaxed), 3 * 9 + 1);
    }
}

/// Takes no request.
struct Idle;

#[service(answers(Ask))]
impl Idle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let _requests = ctx.requests::<Ask>();
        ctx.shutdown_requested().await;
        Ok(())
    }
}

#[tokio::test]
async fn a_full_mailbox_that_rejects_says_so_over_a_link() {
    let directory = Directory::new("requests-reject");
    let text = "[node.desk]\nservices = [\"Caller\"]\n[node.oracle]\nservices = [\"Idle\"]\n\
                [topic.doubles]\ncapacity = 4\n[subscription.\"Idle.doubles\"]\n\
                policy = \"reject\"\n[node.other]\nservices = [\"Second\"]\n";
    let topology = Topology::parse("t.toml", text).unwrap().in_directory(&directory.0);
    let (sent, outcomes) = channel();
    let start = |name: &str| {
        let caller = |sent: &Sender<_>| {
            let sent = sent.clone();
            move || Caller {
                values: vec![1, 2, 3, 4],
                open: 4,
                within: Duration::from_millis(500),
                sent: sent.clone(),
            }
        };
        let node = Node::builder(name).topology(topology.clone()).service(|| Idle);
        let node = node.service(caller(&sent)).named_service("Second", caller(&sent));
        let node = node.named_service("Third", caller(&sent));
        start(node)
    };
    let oracle = start("oracle");
    let (desk, other) = (start("desk"), start("other"));
    let (desk, other) = join(desk.join(), other.join()).await;
    desk.unwrap();
    other.unwrap();
    conserved(&end(oracle).await.counters);
    drop(sent);
    let outcomes: Vec<_> = outcomes.iter().collect();
    assert_eq!(outcomes.len(), 8);
    for (value, outcome) in outcomes {
        match outcome.unwrap_err() {
            RequestError::Refused { request, .. } => assert_eq!(request, ask(value)),
            RequestError::Deadline { .. } => {}
            error => panic!("{error}"),
        }
    }
}
