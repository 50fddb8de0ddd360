//! Limits follow from the topology, or are errors of `build` that name them.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "signals", feature = "topology"))]

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mycelium::{BuildError, Context, Delivery, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;
use mycelium_transports::stream::STREAMS;

#[message(topic = "numbers", id = 1)]
struct Number {
    value: u64,
}

struct Counter(u64);

#[service(emits(Number))]
impl Counter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..self.0 {
            ctx.emit(Number { value }).await?;
        }
        Ok(())
    }
}

/// Adds up all numbers, until the end.
struct Adder(Sender<u64>);

#[service(reads(Number))]
impl Adder {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        let mut sum = 0;
        while let Some(delivery) = numbers.recv().await {
            match delivery {
                Delivery::Msg(number) => sum += number.value,
                Delivery::Gap(gap) => panic!("{gap}"),
            }
        }
        self.0.send(sum)?;
        Ok(())
    }
}

#[tokio::test]
async fn one_hundred_services_of_one_node_read_one_topic() {
    const READERS: usize = 100;
    let (sums, received) = channel();
    let mut builder = Node::builder("main").service(|| Counter(5000));
    for reader in 0..READERS {
        let sums = sums.clone();
        builder = builder.named_service(&format!("Adder-{reader}"), move || Adder(sums.clone()));
    }
    let node = builder.build().unwrap().start(Tokio::current().unwrap()).unwrap();
    tokio::time::timeout(Duration::from_secs(60), node.join()).await.unwrap().unwrap();
    assert!(received.try_iter().eq([(0..5000).sum::<u64>(); READERS]));
}

/// Two nodes, one of which reads from `publishers` services of the other.
fn crowd(node: &str, publishers: usize) -> Result<Node, BuildError> {
    let names: Vec<_> = (0..publishers).map(|number| format!("Counter-{number}")).collect();
    let text = format!("[node.far]\nservices = {names:?}\n[node.near]\nservices = [\"Adder\"]\n");
    let mut builder = Node::builder(node).topology(Topology::parse("crowd.toml", &text)?);
    for name in &names {
        builder = builder.named_service(name, || Counter(1));
    }
    builder.service(|| Adder(channel().0)).build()
}

#[test]
fn more_publishers_than_a_link_has_room_for_are_an_error_of_build() {
    for node in ["far", "near"] {
        assert!(crowd(node, STREAMS).is_ok());
        let error = crowd(node, STREAMS + 1).unwrap_err();
        let BuildError::LinkLimit { publisher, reader, what, limit, found, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((&**publisher, &**reader, *what), ("far", "near", "publishers"));
        assert_eq!((*limit, *found), (STREAMS, STREAMS + 1));
        assert!(
            error
                .to_string()
                .starts_with("crowd.toml:3:7: node `near` reads 129 publishers of node `far`")
        );
    }
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_an_error_of_build_with_its_place() {
    let long = format!("/tmp/{}", "x".repeat(110));
    let build = |node: &str, text: &str, directory: &str| {
        let topology = Topology::parse("paths.toml", text)?.in_directory(directory);
        let builder = Node::builder(node).topology(topology);
        builder.service(|| Counter(1)).service(|| Adder(channel().0)).build()
    };
    // Both the node that listens and the node that connects report it.
    for node in ["far", "near"] {
        let said = format!(
            "[node.far]\nservices = [\"Counter\"]\nsocket = \"{long}\"\n[node.near]\nservices = [\"Adder\"]"
        );
        let error = build(node, &said, "/tmp").unwrap_err().to_string();
        assert!(
            error.starts_with("paths.toml:3:10: node `far` would listen at `/tmp/xxx"),
            "{error}"
        );
        assert!(error.contains("has 115 bytes") && error.contains("at most 107"), "{error}");

        let unsaid = "[node.near]\nservices = [\"Adder\"]\n[node.far]\nservices = [\"Counter\"]";
        let error = build(node, unsaid, &long).unwrap_err().to_string();
        assert!(error.starts_with("paths.toml:3:7: node `far` would listen"), "{error}");
        assert!(error.contains("far.sock") && error.contains("Topology::in_directory"), "{error}");
    }
}
