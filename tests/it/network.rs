//! Nodes on several hosts, joined by TCP. All hosts are addresses of this machine's loopback
//! interface.
#![cfg(target_os = "linux")]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod defects;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use mycelium::error::StartError;
use mycelium::observe::Carrier;
use mycelium_executor::{Executor, PausedTime};
use mycelium_tokio::Tokio;
use mycelium_transports::endpoint::{BindError, Endpoint};
use socket2::{Domain, Socket, Type};

use crate::loopback::host;
use crate::numbers::{Pair, all_arrive, within};
use crate::running::{end, of_links, until};

pub(crate) const PORT: u16 = 7400;

/// Returns the file of two hosts with a node each. `far` and the file may have more lines.
pub(crate) fn two_hosts(far: &str, more: &str) -> String {
    format!(
        r#"
[host.here]
address = "{}"
[host.there]
address = "{}"
[node.far]
host = "there"
services = ["Counter"]
{far}
[node.near]
host = "here"
services = ["Taker"]
[topic.numbers]
capacity = 16
[link.default]
retry = "1ms"
max_retry = "20ms"
{more}
"#,
        host(),
        host()
    )
}

/// Returns the address of the second host.
pub(crate) fn there(text: &str) -> &str {
    let line = text.lines().skip_while(|line| *line != "[host.there]").nth(1).unwrap();
    line.trim_start_matches("address = ").trim_matches('"')
}

const COUNT: u64 = 500;

/// Checks that numbers arrive in order over this carrier, and that both nodes end by themselves.
/// Over a network, no Unix socket is made.
pub(crate) async fn arrives(name: &str, text: String, carrier: Carrier) {
    let (pair, received) = Pair::new(name, text);
    // The reader starts first, and retries until the publisher listens.
    let [near, far] = ["near", "far"].map(|name| pair.start(name, COUNT));
    for (node, peer) in [(&near, "far"), (&far, "near")] {
        let [link] = &*node.start_report().links else { panic!("{}", node.start_report()) };
        assert_eq!((&*link.peer, link.used), (peer, carrier));
    }
    all_arrive([near, far], &received, COUNT).await;
    assert!(carrier == Carrier::SharedMemory || !pair.directory.0.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_read_from_its_own_host_and_from_another_one_at_once() {
    let beside = "[node.beside]\nhost = \"there\"\nservices = [\"Beside\"]";
    let text = two_hosts(&format!("port = {PORT}"), beside);
    let (pair, received) = Pair::new("both", text);
    let nodes = ["near", "beside", "far"].map(|name| pair.start(name, COUNT));
    let far = &nodes[2];
    let links = far.start_report().links.iter().map(|link| (&*link.peer, link.used));
    let carriers = [("beside", Carrier::SharedMemory), ("near", Carrier::Tcp)];
    assert_eq!(links.collect::<Vec<_>>(), carriers);
    for node in nodes {
        within(node.join()).await.unwrap();
    }
    let mut numbers: Vec<u64> = received.try_iter().collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq((0..COUNT).flat_map(|number| [number, number])));
}

/// A host that is gone neither accepts nor refuses a connection.
#[tokio::test]
async fn a_reader_tries_an_address_without_an_answer_for_five_seconds() {
    let executor = PausedTime::new(Tokio::current().unwrap());
    let addresses = [host(), host()].map(|host| SocketAddr::new(host.parse().unwrap(), PORT));
    // The queue of connections is full, so the system drops further attempts.
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&addresses[0].into()).unwrap();
    silent.listen(0).unwrap();
    let _queued = TcpStream::connect(addresses[0]).unwrap();
    let second = TcpListener::bind(addresses[1]).unwrap();
    second.set_nonblocking(true).unwrap();

    let addresses = addresses.iter().map(ToString::to_string).collect();
    let endpoint = Endpoint::Tcp { addresses, listen: Vec::new() };
    let shared: Arc<dyn Executor> = Arc::new(executor.clone());
    let mut connecting = endpoint.connect(&shared);
    assert!((&mut connecting).now_or_never().is_none());
    assert_eq!(executor.next_timer(), Some(Duration::from_secs(5)));
    executor.advance(Duration::from_secs(5));
    let _stream = within(connecting).await.unwrap();
    second.accept().unwrap();
}

/// A peer over TCP states the name of a node on the same host, while that node is not connected.
#[tokio::test]
async fn a_peer_over_tcp_cannot_take_the_name_of_a_node_on_the_same_host() {
    let address = host();
    let text = format!(
        "[host.one]\naddress = \"{address}\"\n[node.far]\nhost = \"one\"\nport = {PORT}\n\
         services = [\"Counter\"]\n[node.near]\nhost = \"one\"\n\
         services = [\"Taker\"]\n"
    );
    let (pair, received) = Pair::new("near", text.clone());
    let far = pair.start("far", COUNT);
    // The same node in another file, which joins the two by TCP.
    let liar = format!("{text}[link.default]\ntransport = \"tcp\"\nretry = \"1ms\"\n");
    let (other, stolen) = Pair::new("liar", liar);
    let near = other.start("near", COUNT);
    until(|| of_links(&far, "rejected_peers") >= 2).await;
    within(end(near)).await;
    assert_eq!(stolen.try_iter().count(), 0);
    let near = pair.start("near", COUNT);
    all_arrive([near, far], &received, COUNT).await;
}

#[tokio::test]
async fn a_used_port_is_a_start_error_with_its_place() {
    let text = two_hosts(&format!("port = {PORT}"), "");
    let there = there(&text).to_owned();
    let taken = TcpListener::bind((there.as_str(), PORT)).unwrap();
    let (pair, _received) = Pair::new("used", text);
    let error = pair.start_error("far");
    assert!(matches!(&error, StartError::Bind { error: BindError::Tcp { .. }, .. }), "{error}");
    let text = format!(
        "t.toml:9:8: node `far` cannot listen: cannot listen at `{there}:{PORT}`: Address already \
         in use (os error 98): end the process that listens there, or choose another port [M0083]"
    );
    assert_eq!(error.to_string(), text);
    drop(taken);
}

/// Over plain TCP, a peer's name is not proven.
#[test]
fn a_list_of_readers_needs_trust_over_plain_tcp() {
    let build = |node: &str, list: &str, more: &str| {
        let text = two_hosts("port = 7400", more)
            .replace("capacity = 16", &format!("capacity = 16\n{list}"));
        let (pair, _received) = Pair::new("list", text);
        pair.build(node, 1).map(drop).map_err(|error| error.to_string())
    };
    for (key, other) in [("readers", "near"), ("writers", "far")] {
        let list = format!("{key} = [\"{other}\"]");
        for (node, peer) in [("far", "near"), ("near", "far")] {
            assert_eq!(
                build(node, &list, "").unwrap_err(),
                format!(
                    "t.toml:15:12: topic `numbers` has a list of `{key}`, but the link between \
                     `{node}` and `{peer}` is plain TCP: a process that can connect may call \
                     itself `{peer}`; if no other process can, write `trust = \"network\"` in \
                     `[link.\"{node}-{peer}\"]` [M0120]"
                )
            );
            let trust = "[link.\"far-near\"]\ntrust = \"network\"";
            assert_eq!(build(node, &list, trust), Ok(()));
            assert!(build(node, &list, "trust = \"nobody\"").is_err());
        }
    }
}
