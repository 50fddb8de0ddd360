//! A publisher's process ends by itself right after its last message: the reader in another process
//! gets everything, and then the end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mycelium::{Context, Delivery, Node, Policy, Result, Topology, message, service};
use mycelium_tokio::Tokio;

use crate::support::{Directory, in_role};

const PLACE: &str = "MYCELIUM_ENDS_PLACE";
const COUNT: u64 = 20_000;

#[message(topic = "counted", id = 30)]
struct Counted {
    number: u64,
}

struct Feed;

#[service(emits(Counted))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..COUNT {
            ctx.emit(Counted { number }).await?;
        }
        Ok(())
    }
}

/// Takes all messages, and checks that none is missing.
struct Sink;

#[service(reads(Counted))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut counted = ctx.subscribe::<Counted>()?;
        let mut next = 0;
        while let Some(delivery) = counted.recv().await {
            match delivery {
                Delivery::Msg(message) => next = message.number + 1,
                Delivery::Gap(gap) => assert_ne!(ctx.name(), "Sink", "{gap}"),
            }
        }
        assert_eq!(next, COUNT);
        Ok(())
    }
}

fn node(name: &str, place: &Path) -> Node {
    let text = "[node.feed]\nservices = [\"Feed\"]\n[node.sink]\nservices = [\"Sink\", \"Observer\"]\n\
                [link.default]\ntransport = \"shm\"\n";
    let topology = Topology::parse("ends.toml", text).unwrap().in_directory(place);
    let node = Node::builder(name).topology(topology).service(|| Feed).service(|| Sink);
    let node = node.named_service("Observer", || Sink);
    node.subscription("Observer", "counted", Policy::DropOldest).build().unwrap()
}

fn run(node: Node) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let running = node.start(Tokio::current().unwrap()).unwrap();
        let report = tokio::time::timeout(Duration::from_secs(60), running.join()).await;
        report.expect("the reader gets the end").unwrap();
    });
}

/// Runs the publisher in a child process; returns at once in the test run itself.
#[test]
fn feed() {
    if let Ok(place) = std::env::var(PLACE) {
        run(node("feed", &PathBuf::from(place)));
    }
}

#[test]
fn the_end_of_a_process_that_has_ended_by_itself_arrives() {
    for round in 0..6 {
        let Directory(place) = &Directory::new(&format!("ends-{round}"));
        let mut feed = in_role("killed::ends::feed");
        let mut feed = feed.env(PLACE, place).stdout(Stdio::null()).spawn().unwrap();
        run(node("sink", place));
        assert!(feed.wait().unwrap().success());
    }
}
