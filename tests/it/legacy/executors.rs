//! The same clients on each executor: both directions, by the bytes of the specification.

use fourth_adapter::Threads;
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;

use crate::legacy::harness::{Floor, counter, hex, run_on};

/// Type 11, 16 bytes: pool 7, price 1000. Then pool 8, price 2000.
const SWAPS: &str = "0b00 10000000 0700000000000000 e803000000000000
                     0b00 10000000 0800000000000000 d007000000000000";
/// The orders to them have type 12.
const ORDERS: &str = "0c00 10000000 0700000000000000 e803000000000000
                      0c00 10000000 0800000000000000 d007000000000000";
const HELLO: &str = "2000 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

async fn serves(executor: impl Executor) {
    let digest = &HELLO[5..];
    let floor = Floor::of_broker(&format!("{{ digest = \"{digest}\" }}"), "");
    let node = floor.broker();
    let clients = move |_: &mycelium::Running| {
        let mut client = floor.connect();
        let sent = [hex(HELLO), hex(SWAPS)].concat();
        // One byte at a time.
        sent.iter().for_each(|byte| client.send(&[*byte]));
        let mut received = Vec::new();
        for _ in 0..2 {
            let (type_id, payload) = client.frame().expect("the broker answers");
            received.extend(crate::legacy::harness::frame(type_id, &payload));
        }
        assert_eq!(received, hex(ORDERS));
        client
    };
    let (mut client, report) = run_on(node, executor, clients).await;
    assert_eq!(client.frame(), None, "the end of the node is the end of the connection");
    let expected =
        [("connections", 1), ("received", 2), ("sent", 2), ("dropped", 0), ("errors", 0)];
    for (value, expected) in expected {
        assert_eq!(counter(&report.counters, value), expected, "{value}");
    }
}

#[test]
fn clients_are_served_on_tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { serves(Tokio::current().unwrap()).await });
}

#[test]
fn clients_are_served_on_smol() {
    mycelium_smol::run(1, serves).unwrap();
}

#[test]
fn clients_are_served_on_glommio() {
    let settings = mycelium_glommio::Settings::default();
    mycelium_glommio::run(&settings, serves).unwrap();
}

#[test]
fn clients_are_served_on_the_fourth_adapter() {
    fourth_adapter::run(|threads: Threads| Box::pin(serves(threads)));
}
