//! Messages without fields and without an id, in a node and between two.
#![cfg(all(unix, feature = "topology"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mycelium::{Context, Delivery, Node, Result, Running, Topology, message, service};
use mycelium_tokio::Tokio;

use crate::running::within;
use crate::support::Directory;

#[message(topic = "signals")]
struct Signal;

#[message(topic = "questions", reply = Answer)]
struct Question {}

#[message(topic = "answers")]
struct Answer;

/// More than fit into the rings and the window of a link.
const COUNT: u64 = 20_000;

struct Asker;

#[service(emits(Signal), requests(Question))]
impl Asker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for _ in 0..COUNT {
            ctx.emit(Signal).await?;
        }
        let Answer = ctx.request(Question {}).await?;
        Ok(())
    }
}

struct Counter(Arc<AtomicU64>);

#[service(reads(Signal))]
impl Counter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut signals = ctx.subscribe::<Signal>()?;
        while let Some(delivery) = signals.recv().await {
            assert!(matches!(delivery, Delivery::Msg(_)), "no gap");
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

struct Oracle;

#[service(answers(Question))]
impl Oracle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut questions = ctx.requests::<Question>();
        while let Some(question) = questions.recv().await {
            question.reply(Answer);
        }
        Ok(())
    }
}

/// Runs these nodes, and checks that all signals arrive and the question is answered.
async fn all_arrive(name: &str, nodes: &[&str], more: &str) {
    let directory = Directory::new(&format!("signals-{name}"));
    let counted = Arc::new(AtomicU64::new(0));
    let started: Vec<Running> = (nodes.iter())
        .map(|node| {
            let counted = counted.clone();
            let builder = Node::builder(node);
            let builder = match nodes {
                [_] => builder,
                _ => {
                    let text = format!(
                        "[node.far]\nservices = [\"Asker\"]\n\
                         [node.near]\nservices = [\"Counter\", \"Oracle\"]\n{more}"
                    );
                    let topology = Topology::parse("t.toml", &text).unwrap();
                    builder.topology(topology.in_directory(&directory.0))
                }
            };
            let builder = builder.service(|| Asker).service(|| Oracle);
            let node = builder.service(move || Counter(counted.clone())).build().unwrap();
            node.start(Tokio::current().unwrap()).unwrap()
        })
        .collect();
    for node in started {
        within(node.join()).await.unwrap();
    }
    assert_eq!(counted.load(Ordering::Relaxed), COUNT, "{name}");
}

#[tokio::test]
async fn messages_without_fields_go_through_every_carrier() {
    all_arrive("process", &["main"], "").await;
    all_arrive("memory", &["near", "far"], "").await;
    all_arrive("unix", &["near", "far"], "[link.default]\ntransport = \"unix\"\n").await;
}
