//! Peers that state a false name, do not speak TLS, or are silent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use mycelium_executor::{Executor, PausedTime};
use mycelium_tokio::Tokio;
use mycelium_transports::endpoint::Endpoint;
use mycelium_transports::local::Policy;
use mycelium_transports::tls::Tls;

use crate::certificates::{Certificates, of_node};
use crate::links::harness::{Side, TestDir};
use crate::loopback::host;
use crate::numbers::within;
use crate::running::{LONG, end};
use crate::tls::pair::{NONE, PORT, Pair, rejected, there, two_hosts, until};

/// Returns `far`, which waits for connections, with its files and its address.
pub(crate) fn far(name: &str, more: &str) -> (Certificates, Pair, mycelium::Running, String) {
    let certificates = Certificates::of(name, &["far", "near", "other"]);
    let text = two_hosts(&certificates, more);
    let address = format!("{}:{PORT}", there(&text));
    let (pair, _) = Pair::new(name, text);
    let far = pair.start("far", NONE);
    (certificates, pair, far, address)
}

pub(crate) fn load(certificates: &Certificates, node: &str) -> Arc<Tls> {
    Arc::new(Tls::load(node, of_node(certificates.path(), node), Box::new(|_| ())).unwrap())
}

/// Returns an endpoint that expects `far` at these addresses.
pub(crate) fn to_far(tls: Arc<Tls>, addresses: Vec<String>, handshake: Duration) -> Endpoint {
    Endpoint::Tls { addresses, listen: Vec::new(), node: "far".to_owned(), tls, handshake }
}

pub(crate) fn executor() -> Arc<dyn Executor> {
    Arc::new(Tokio::current().unwrap())
}

/// `other` has a valid certificate, and states the name `near`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cannot_take_the_name_of_another_one() {
    let (certificates, _pair, far, address) = far("liar", "");
    let (endpoint, executor) =
        (to_far(load(&certificates, "other"), vec![address], LONG), executor());
    let (dir, liar) = (TestDir::new("liar"), Side::new("near", 7, 16));
    let mut client = liar.imports("far", dir.place(), vec![liar.interest(Policy::Block)]);
    client.connect = Box::new(move || endpoint.connect(&executor));
    let client = tokio::spawn(client.run().unwrap());
    until(|| rejected(&far) > 0).await;
    // The TLS handshake has proven the name `other`. The link then rejects the stated name.
    liar.notices.until("up", "connected to node `far`").await;
    let reason = "disconnected from node `far`: the peer closed the link: the other side is not \
                  allowed";
    liar.notices.until("down", reason).await;
    liar.control.stop();
    within(client).await.unwrap();
    within(end(far)).await;
}

/// Returns what a server answers to these bytes before it closes the connection.
async fn answer(address: String, bytes: Vec<u8>) -> Vec<u8> {
    within(tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer);
        answer
    }))
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_without_tls_1_3_is_refused() {
    let (_certificates, _pair, far, address) = far("plain", "");
    // The first frame of a plain link; the server does not answer with a frame.
    let plain = answer(address.clone(), b"MYC1\0\0\0\0".to_vec()).await;
    assert!(plain.is_empty() || plain[0] == 21, "{plain:?}");
    // A ClientHello of TLS 1.2: versions, random, no session, one cipher suite, no compression.
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut bytes = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    bytes.extend(hello);
    let alert = answer(address, bytes).await;
    assert_eq!(alert[..1], [21], "an alert: {alert:?}");
    until(|| rejected(&far) == 2).await;
    within(end(far)).await;
}

/// A peer that sends nothing is disconnected after the time for a handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_disconnected() {
    let (_certificates, _pair, far, address) = far("silent", "handshake = \"50ms\"");
    assert_eq!(answer(address, Vec::new()).await, b"");
    until(|| rejected(&far) == 1).await;
    within(end(far)).await;
}

/// The listener accepts connections and sends nothing. The error is the one for a slow handshake,
/// as over plain TCP, and not the one for an address that does not answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_listener_is_a_handshake_timeout() {
    let certificates = Certificates::of("mute", &["far", "near"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for handshake in [Duration::from_millis(50), Duration::from_secs(5)] {
        let endpoint = to_far(load(&certificates, "near"), vec![address.clone()], handshake);
        let error = within(endpoint.connect(&executor())).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            format!(
                "`{address}`: handshake timeout: the peer did not prove its name within \
                 {handshake:?}"
            )
        );
    }
}

/// There are more silent peers than the server has places, and then a node with a certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peers_do_not_exclude_a_node() {
    let (_certificates, pair, far, address) = far("flood", "");
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let near = pair.start("near", NONE);
    within(near.ready()).await.unwrap();
    drop(silent);
    within(end(near)).await;
    within(end(far)).await;
}

/// The first address accepts connections and sends nothing: the next address is tried after the
/// time for a handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_left_for_the_next_address() {
    let (certificates, _pair, far, address) = far("left", "");
    let silent = TcpListener::bind((host(), PORT)).unwrap();
    let addresses = vec![silent.local_addr().unwrap().to_string(), address];
    let handshake = Duration::from_secs(2);
    let endpoint = to_far(load(&certificates, "near"), addresses, handshake);
    let executor = PausedTime::new(Tokio::current().unwrap());
    let shared: Arc<dyn Executor> = Arc::new(executor.clone());
    let connecting = tokio::spawn(endpoint.connect(&shared));
    until(|| executor.next_timer() == Some(handshake)).await;
    executor.advance(handshake);
    within(connecting).await.unwrap().unwrap();
    within(end(far)).await;
}

/// A port has TLS with `[tls]` even if no node of the file reads from another host.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_without_far_readers_has_tls_too() {
    let certificates = Certificates::of("nobody", &["far", "near"]);
    let text = two_hosts(&certificates, "");
    // With both nodes on one host, the link goes through memory.
    let text = text.replace("host = \"here\"", "host = \"there\"");
    let address = format!("{}:{PORT}", there(&text));
    let (pair, _) = Pair::new("nobody", text);
    let far = pair.start("far", NONE);
    let answered = answer(address, vec![0xA1; 64]).await;
    assert_eq!(answered.first(), Some(&0x15), "a TLS alert, and no frame: {answered:?}");
    within(end(far)).await;
}

/// Names are compared exactly: `NEAR` and `near` are different nodes of a topology.
#[test]
fn a_certificate_proves_its_own_name_alone() {
    let certificates = Certificates::of("case", &["near"]);
    for node in ["NEAR", "near."] {
        let files = of_node(certificates.path(), "near");
        assert!(Tls::load(node, files, Box::new(|_| ())).is_err(), "`near` proves `{node}`");
    }
}
