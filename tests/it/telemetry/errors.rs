//! Errors when a node with telemetry starts, with their places in the file.

use std::net::TcpListener;

use mycelium::{Builder, Node, Topology};
use mycelium_tokio::Tokio;

use super::services::{Idle, address, is_free, own_address};
use crate::running::{Says, start, until};

/// Returns the error with which a node with an idle service does not start.
fn refused(node: Builder) -> String {
    let node = node.service(|| Idle).build().unwrap();
    node.start(Tokio::current().unwrap()).unwrap_err().to_string()
}

fn error_of(text: &str) -> String {
    match Topology::parse("app.toml", text) {
        Err(error) => error.to_string(),
        Ok(topology) => refused(Node::builder("hall").topology(topology)),
    }
}

#[tokio::test]
async fn an_address_in_use_is_an_error_with_its_place() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!("[node.hall]\nlisten_metrics = \"{address}\"");
    let expected = format!("app.toml:2:18: node `hall` cannot serve metrics at `{address}`: ");
    error_of(&text).begins(&expected);
    refused(Node::builder("hall").listen_metrics(address))
        .begins("node `hall` cannot serve metrics at `127.0.0.1:");
}

#[tokio::test]
async fn an_address_that_others_reach_must_be_allowed() {
    let far = "0.0.0.0:0".parse().unwrap();
    let node = || Node::builder("hall").listen_metrics(far);
    refused(node()).mentions("other hosts could read it");
    drop(start(node().service(|| Idle).expose_metrics()));
    let section = "[node.hall]\nlisten_metrics = \"203.0.113.7:9464\"\n";
    error_of(section).says(
        "app.toml:2:18: other hosts could read the metrics at `203.0.113.7:9464`: expected an \
         address of this host, such as `127.0.0.1:9464`, or `expose = true` in `[telemetry]` \
         [M0114]",
    );
    error_of(&format!("{section}[telemetry]\nexpose = true"))
        .begins("app.toml:2:18: node `hall` cannot serve metrics at");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_node_that_does_not_start_leaves_no_endpoint() {
    // No other test uses this address.
    let address = TcpListener::bind("127.77.0.1:0").unwrap().local_addr().unwrap();
    let builder = Node::builder("hall").listen_metrics(address);
    refused(builder.execution("Idle", mycelium::execution::Execution::pinned([usize::MAX])));
    assert!(is_free(address));
}

#[tokio::test]
async fn an_executor_that_ends_takes_the_endpoint_with_it() {
    let runtime = crate::running::threads(1);
    let node = Node::builder("hall").service(|| Idle).listen_metrics(own_address(3));
    let node = node.build().unwrap();
    let handle = runtime.handle().clone();
    let start = move || handle.block_on(async { node.start(Tokio::current().unwrap()) });
    let running = std::thread::spawn(start).join().unwrap().unwrap();
    let address = address(&running);
    runtime.shutdown_background();
    running.join().await.unwrap_err();
    // The thread of the endpoint ends soon after the node.
    until(|| is_free(address)).await;
}

#[test]
fn mistakes_of_the_section_have_their_places() {
    let error_of = |text: &str| Topology::parse("app.toml", text).unwrap_err();
    error_of("[telemetry]\nexpos = true")
        .begins("app.toml:2:1: unknown key `expos`: did you mean `expose`?");
    error_of("[telemetry]\nlabel_sets = 0")
        .begins("app.toml:2:14: invalid number of label sets 0: expected 1 or more");
    error_of("[node.hall]\nlisten_metrics = \"localhost\"").begins(
        "app.toml:2:18: invalid address `localhost`: expected an IP address and a port, such as \
         `127.0.0.1:9464`",
    );
    error_of("[node.hall]\nlisten_metrics = \"127.0.0.1:0\"")
        .begins("app.toml:2:18: invalid address `127.0.0.1:0`: expected an IP address and a port");
    error_of("[telemetry]\ninterval = \"0s\"")
        .says("app.toml:2:12: invalid duration 0s: expected more than 0 s [M0101]");
}
