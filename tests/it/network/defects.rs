//! Defects of an earlier system that this one must not have, of hosts, names and addresses. Each
//! test begins with the id of its defect.

use std::sync::Arc;

use mycelium::Running;
use mycelium::counters::Kind;
use mycelium::observe::Carrier;
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use mycelium_transports::endpoint::Endpoint;

use super::{COUNT, PORT, Pair, arrives, there, two_hosts};
use crate::loopback::host;
use crate::numbers::{all_arrive, within};

/// In the earlier system, host names and IPv6 addresses were refused, and each failure was reported
/// as "service not found".
#[tokio::test]
async fn c1_a_host_is_an_address_or_a_name_and_a_failure_says_what_it_was() {
    let executor: Arc<dyn Executor> = Arc::new(Tokio::current().unwrap());
    let at = |address: String| Endpoint::Tcp { addresses: vec![address], listen: Vec::new() };
    for local in ["127.0.0.1:0", "localhost:0", "[::1]:0"] {
        let Ok(listening) = std::net::TcpListener::bind(local) else {
            // This system has no IPv6.
            assert!(local.starts_with('['));
            continue;
        };
        let port = listening.local_addr().unwrap().port();
        let address = local.replace(":0", &format!(":{port}"));
        within(at(address).connect(&executor)).await.unwrap();
        drop(listening);
    }
    let free = format!("{}:{PORT}", host());
    for (address, expected) in [
        (free.clone(), format!("no process listens at `{free}`: Connection refused")),
        ("nowhere.invalid:7400".to_owned(), "`nowhere.invalid:7400`: ".to_owned()),
        ("no address".to_owned(), "`no address`: ".to_owned()),
    ] {
        let error = within(at(address).connect(&executor)).await.err().unwrap();
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

/// In the earlier system, the address of a node without a host was ignored, and two names of one
/// machine were two hosts.
#[tokio::test]
async fn c2_the_address_of_a_node_counts_and_not_the_name_of_its_host() {
    let text = format!(
        "[node.far]\nservices = [\"Counter\"]\naddress = \"{}:{PORT}\"\n[node.near]\n\
         services = [\"Taker\"]\n[link.default]\ntransport = \"tcp\"\nretry = \"1ms\"\n",
        host()
    );
    arrives("c2-address", text, Carrier::Tcp).await;
    // One machine under two names: both nodes are on one host.
    let text = two_hosts(&format!("port = {PORT}"), "");
    let one = format!("\"{}\"", there(&text));
    let both = text.replacen(&one, &format!("[{one}, \"localhost\"]"), 1);
    let both = both.replace("host = \"here\"", "host = \"there\"");
    arrives("c2-names", both, Carrier::SharedMemory).await;
}

/// In the earlier system, a node with the name of another node's service was taken for that
/// service's node, and its messages were stuck there.
#[tokio::test]
async fn c3_a_node_may_have_the_name_of_a_service_of_another_one() {
    let text = two_hosts(&format!("port = {PORT}"), "")
        .replace("[node.far]", "[node.Taker]")
        .replace("[node.near]", "[node.Counter]");
    let (pair, received) = Pair::new("c3", text);
    let nodes = ["Counter", "Taker"].map(|name| pair.start(name, COUNT));
    all_arrive(nodes, &received, COUNT).await;
}

/// In the earlier system, the first messages of two services each opened a connection, and one of
/// them was dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_two_nodes_have_one_connection() {
    let (pair, received) = Pair::new("c5", two_hosts(&format!("port = {PORT}"), ""));
    let [near, far] = ["near", "far"].map(|name| pair.start(name, COUNT));
    let connections = |node: &Running, role: &str| -> u64 {
        let lines = node.counters().into_iter().filter(|line| line.kind == Kind::Link);
        let own = lines.filter(|line| line.label("role") == role);
        own.map(|line| line.value("connections")).sum()
    };
    within(near.ready()).await.unwrap();
    assert_eq!((connections(&near, "reader"), connections(&far, "publisher")), (1, 1));
    all_arrive([near, far], &received, COUNT).await;
}
