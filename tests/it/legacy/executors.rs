//! The same clients on each executor, in both directions, with the bytes of the specification.

use fourth_adapter::Threads;
use mycelium_executor::Executor;

use crate::executors::on_each_executor;
use crate::legacy::harness::{Floor, counter, frame, hello, hex, run_on};

/// Two frames of type 11 with 16 bytes: pool 7 with price 1000, then pool 8 with price 2000.
const SWAPS: &str = "0b00 10000000 0700000000000000 e803000000000000
                     0b00 10000000 0800000000000000 d007000000000000";
/// The orders that answer these swaps have type 12.
const ORDERS: &str = "0c00 10000000 0700000000000000 e803000000000000
                      0c00 10000000 0800000000000000 d007000000000000";
async fn serves(executor: impl Executor) {
    let floor = Floor::of_digest("");
    let node = floor.broker();
    let clients = move |_: &mycelium::Running| {
        let mut client = floor.connect();
        let sent = [hello(), hex(SWAPS)].concat();
        // One byte at a time.
        sent.iter().for_each(|byte| client.send(&[*byte]));
        let mut received = Vec::new();
        for _ in 0..2 {
            let (type_id, payload) = client.frame().expect("the broker answers");
            received.extend(frame(type_id, &payload));
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
fn clients_are_served_on_each_executor() {
    on_each_executor(async |executor, _| serves(executor).await);
}

#[test]
fn clients_are_served_on_the_fourth_adapter() {
    fourth_adapter::run(|threads: Threads| Box::pin(serves(threads)));
}
