//! Named ports: one message type on several topics, bound by the topology or the program, in one
//! node and over a link.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::sync::mpsc::{Sender, channel};

use mycelium::error::Code;
use mycelium::observe::StartWarning;
use mycelium::{Context, Delivery, Node, Policy, Result, Topology, message, service};

use crate::node::services::{Number, Square};
use crate::running::{Says, end, main_with, run, start, within};
use crate::support::idle_services;

/// Emits the numbers from this one on.
struct Feed(u64);

#[service(emits(Number as out))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in self.0..self.0 + 100 {
            ctx.on(Self::out).emit(Number { value }).await?;
        }
        Ok(())
    }
}

/// Keeps the swaps of its two ports apart, and emits all of them again.
struct Merge {
    left: Vec<u64>,
    right: Vec<u64>,
    seen: Sender<(Vec<u64>, Vec<u64>)>,
}

#[service(reads(Number as left, Number as right), emits(Number as merged, Square))]
impl Merge {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut left = ctx.subscribe_on(Self::left)?;
        let mut right = ctx.subscribe_on(Self::right)?;
        let mut last = ctx.on(Self::merged).publisher()?;
        while let Some(delivery) = left.recv().await {
            let number = delivery.message().expect("no gap");
            self.left.push(number.value);
            ctx.on(Self::merged).emit(number).await?;
        }
        while let Some(delivery) = right.recv().await {
            let number = delivery.message().expect("no gap");
            self.right.push(number.value);
            ctx.on(Self::merged).try_emit(number)?;
            ctx.emit(Square { value: number.value }).await?;
        }
        assert!(ctx.on(Self::merged).queue_depth() <= 200);
        last.emit(Number { value: 0 }).await?;
        self.seen.send((self.left.clone(), self.right.clone()))?;
        Ok(())
    }
}

struct Sink(Sender<u64>);

#[service(reads(Number as all, Square))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut all, mut quotes) = (ctx.subscribe_on(Self::all)?, ctx.subscribe::<Square>()?);
        while let Some(delivery) = all.recv().await {
            self.0.send(delivery.message().expect("no gap").value)?;
        }
        while let Some(Delivery::Msg(_)) = quotes.recv().await {}
        Ok(())
    }
}

/// Returns a node with two feeds and the services that read them, and a check of what these have
/// received.
fn builder(node: &str, topology: &str) -> (mycelium::Builder, impl Fn()) {
    let (seen, seen_by_merge) = channel();
    let (merged, taken) = channel::<u64>();
    let builder = Node::builder(node)
        .topology(Topology::parse("ports.toml", topology).unwrap())
        .named_service("FeedA", || Feed(1))
        .named_service("FeedB", || Feed(1001))
        .service(move || Merge { left: Vec::new(), right: Vec::new(), seen: seen.clone() })
        .service(move || Sink(merged.clone()));
    let check = move || {
        let (left, right): (Vec<u64>, Vec<u64>) = seen_by_merge.try_recv().unwrap();
        assert!(left.into_iter().eq(1..=100), "the left port has one feed");
        assert!(right.into_iter().eq(1001..=1100), "the right port has the other");
        let merged = taken.try_iter().filter(|price| *price != 0);
        assert!(merged.eq((1..=100).chain(1001..=1100)));
    };
    (builder, check)
}

const BINDINGS: &str = r#"
[service.FeedA.ports]
out = "swaps.a"
[service.FeedB.ports]
out = "swaps.b"
[service.Merge.ports]
left = "swaps.a"
right = "swaps.b"
merged = "swaps.all"
[service.Sink.ports]
all = "swaps.all"
"#;

#[tokio::test]
async fn l15_one_message_type_has_many_topics() {
    let (builder, check) = builder("main", BINDINGS);
    let report = run(builder).await;
    check();
    let lines = report.counters.iter().filter(|line| line.label("topic") == "swaps.a");
    let readers = lines.map(|line| line.label("reader")).filter(|reader| !reader.is_empty());
    assert_eq!(readers.collect::<Vec<_>>(), ["Merge.left"], "counters name the port");
}

#[tokio::test]
async fn the_program_binds_ports_and_the_topology_takes_precedence() {
    let (builder, check) = builder("main", "[service.FeedA.ports]\nout = \"swaps.a\"");
    let builder = builder
        .bind("FeedA", "out", "elsewhere")
        .bind("FeedB", "out", "swaps.b")
        .bind("Merge", "left", "swaps.a")
        .bind("Merge", "right", "swaps.b")
        .bind("Merge", "merged", "swaps.all")
        .bind("Sink", "all", "swaps.all");
    run(builder).await;
    check();
}

#[tokio::test]
async fn a_subscription_by_port_has_its_own_policy() {
    struct Policies(Sender<[Policy; 2]>);
    #[service(reads(Number as left, Number as right))]
    impl Policies {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let (left, right) = (ctx.subscribe_on(Self::left)?, ctx.subscribe_on(Self::right)?);
            self.0.send([left.policy(), right.policy()])?;
            Ok(())
        }
    }
    let (sender, policies) = channel();
    let text = "[subscription.\"Policies.left\"]\npolicy = \"latest\"";
    let node = main_with(text)
        .service(move || Policies(sender.clone()))
        .bind("Policies", "left", "swaps")
        .bind("Policies", "right", "swaps");
    run(node).await;
    assert_eq!(policies.try_recv().unwrap(), [Policy::Latest, Policy::Block]);
}

#[test]
fn a_port_without_a_topic_is_an_error_that_says_what_to_write() {
    let unbound = BINDINGS.replacen("left = \"swaps.a\"\n", "", 1);
    builder("main", &unbound).0.build().unwrap_err().says(
        "port `Merge.left` is bound to no topic: write `left = \"topic\"` in \
         `[service.Merge.ports]` of the topology, or call `.bind(\"Merge\", \"left\", \"topic\")` \
         on the builder [M0006]",
    );
}

#[test]
fn wrong_bindings_of_the_program_are_errors_that_say_what_to_write() {
    let build = |service: &str, port: &str, topic: &str| {
        let builder = builder("main", BINDINGS).0.bind(service, port, topic);
        builder.build().unwrap_err().to_string()
    };
    build("Nobody", "out", "a").says(
        "port `Nobody.out`: unknown service: expected one of: FeedA, FeedB, Merge, Sink [M0007]",
    );
    build("Merge", "lefft", "a").says(
        "port `Merge.lefft`: unknown port: did you mean `left`? (expected one of: left, right, \
         merged) [M0007]",
    );
    build("Merge", "left", "a b").mentions("invalid topic `a b`");
}

#[test]
fn a_port_does_not_have_the_name_of_a_topic_of_its_service() {
    idle_services! { Twice(reads(Number, Square as numbers)); }
    let error = Node::builder("main").service(|| Twice).bind("Twice", "numbers", "q").build();
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::PORT_BINDING);
    error.begins("port `Twice.numbers`: ");
}

#[test]
fn every_topic_has_a_valid_name() {
    let node = builder("main", BINDINGS).0.build().unwrap();
    for bad in ["", "two words", "a=b", "mycelium.letters", &"x".repeat(63)] {
        node.publisher_to::<Number>(bad, "outside").unwrap_err().begins("invalid topic");
        let error = node.subscribe_to::<Number>(bad, "outside", Policy::Latest).unwrap_err();
        error.begins("invalid topic");
    }
    #[message(topic = "mycelium.swaps", id = 9)]
    pub(crate) struct Reserved {
        price: u64,
    }
    idle_services! { Emits(emits(Reserved)); }
    let error = Node::builder("main").service(|| Emits).build().unwrap_err();
    error.mentions("names that start with `mycelium.` are reserved");
}

#[tokio::test]
async fn the_report_of_the_start_has_what_is_probably_a_mistake() {
    let text = format!("{BINDINGS}[node.main]\nservices = [\"FeedA\", \"Sink\"]\n");
    let running = start(builder("main", &text).0);
    let warnings = &running.start_report().warnings;
    let unplaced = |service: &str| StartWarning::UnplacedService { service: service.to_owned() };
    assert!(warnings.contains(&unplaced("FeedB")) && warnings.contains(&unplaced("Merge")));
    let text = running.start_report().to_string();
    for line in [
        "warning: service `Merge` runs nowhere: no node of the topology lists it in `services`",
        "warning: topic `swaps.a` has no reader: `FeedA` publishes it, but no service that a node runs subscribes to it: add one with `reads(Number as port)`, or call `Node::subscribe_to`",
        "warning: ports.toml:11:7: topic `swaps.all` has no publisher: `Sink` subscribes, but no service that a node runs publishes it: did you mean `swaps.a`? Otherwise add one with `emits(Number as port)`, or call `Node::publisher_to`",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
    }
    within(end(running)).await;
    let idle = format!("{BINDINGS}[node.idle]\nservices = []\n");
    let running = start(builder("idle", &idle).0);
    let empty = StartWarning::EmptyNode { node: "idle".to_owned() };
    assert!(running.start_report().warnings.contains(&empty));
    empty.says(
        "node `idle` has no services: add some to the builder, or to `services` of `[node.idle]` \
         in the topology",
    );
}
