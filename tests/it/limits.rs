//! Limits follow from the topology, or are errors of `build` that name them.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "signals", feature = "topology"))]

use std::sync::mpsc::{Sender, channel};

use mycelium::{BuildError, Context, Delivery, Node, Result, Topology, message, service};
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
