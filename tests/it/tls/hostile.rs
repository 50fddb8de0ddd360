//! Peers that lie, or speak something else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use mycelium_executor::{Executor, PausedTime};
use mycelium_tokio::Tokio;
use mycelium_transports::counters::Region;
use mycelium_transports::endpoint::Endpoint;
use mycelium_transports::exchange::{Control, Identity, LinkConfig, TopicClient, TopicInterest};
use mycelium_transports::local::{Policy, Schema, Start, Topic};
use mycelium_transports::tls::{Tls, TlsFiles};

use crate::certificates::Certificates;
use crate::loopback::host;
use crate::numbers::{Number, within};
use crate::tls::pair::{NONE, PORT, Pair, rejected, two_hosts, until};

/// `far`, which waits for connections, and its address.
pub(crate) fn far(name: &str, more: &str) -> (Certificates, Pair, mycelium::Running, String) {
    let certificates = Certificates::of(name, &["far", "near", "other"]);
    let text = two_hosts(&certificates, &format!("port = {PORT}"), more);
    let there = text.lines().skip_while(|line| *line != "[host.there]").nth(1).unwrap();
    let address = there.trim_start_matches("address = ").trim_matches('"').to_owned();
    let (pair, _) = Pair::new(name, text);
    let far = pair.start("far", NONE, Tokio::current().unwrap());
    (certificates, pair, far, format!("{address}:{PORT}"))
}

pub(crate) fn files(certificates: &Certificates, node: &str) -> TlsFiles {
    let file = |name: &str| certificates.path().join(name);
    let (certificate, key) = (file(&format!("{node}.pem")), file(&format!("{node}.key")));
    TlsFiles { certificate, key, authorities: file("ca.pem") }
}

/// `other` has a certificate of the authority, and says that it is `near`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cannot_take_the_name_of_another_one() {
    let (certificates, _pair, far, address) = far("liar", "");
    let files = files(&certificates, "other");
    let tls = Arc::new(Tls::load("other", files, Box::new(|_| ())).unwrap());
    let (addresses, node) = (vec![address], "far".to_owned());
    let (listen, handshake) = (Vec::new(), Duration::from_secs(60));
    let endpoint = Endpoint::Tls { addresses, listen, node, tls, handshake };
    let executor: Arc<dyn Executor> = Arc::new(Tokio::current().unwrap());
    let (control, counters) = (Arc::<Control>::default(), Region::new(64));
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let topic = Topic::new("numbers", Schema::of::<Number>(), 16, counters.clone()).unwrap();
    let interest = TopicInterest { topic, policy: Policy::Block, start: Start::Next };
    let connecting = executor.clone();
    let client = TopicClient {
        peer: "far".to_owned(),
        connect: Box::new(move || endpoint.connect(&connecting)),
        interests: vec![interest],
        identity: Identity::new("near", 7).unwrap(),
        config: LinkConfig::default(),
        executor,
        memory: None,
        control: control.clone(),
        counters,
        observer: Arc::new(move |notice| _ = said.send(notice.to_string())),
    };
    let client = tokio::spawn(client.run().unwrap());
    until(|| rejected(&far) > 0).await;
    // It has proven its own name before, and learns then that it is not the one that it states.
    assert_eq!(within(heard.recv()).await.unwrap(), "connected to node `far`");
    let reason = "disconnected from node `far`: the peer closed the link: the other side is not \
                  allowed";
    assert_eq!(within(heard.recv()).await.unwrap(), reason);
    control.stop();
    within(client).await.unwrap();
    far.shutdown();
    within(far.join()).await.unwrap();
}

/// What a server answers to these bytes, until it closes the connection.
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
    // The first frame of a link: the server does not answer with its own.
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
    far.shutdown();
    within(far.join()).await.unwrap();
}

/// It says nothing, and is disconnected when the time for a handshake is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_disconnected() {
    let (_certificates, _pair, far, address) = far("silent", "handshake = \"50ms\"");
    assert_eq!(answer(address, Vec::new()).await, b"");
    until(|| rejected(&far) == 1).await;
    far.shutdown();
    within(far.join()).await.unwrap();
}

/// It accepts connections and says nothing. The error has the words of the handshake, as over plain
/// TCP, and not those of an address that nobody answers at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_listener_is_a_handshake_timeout() {
    let certificates = Certificates::of("mute", &["far", "near"]);
    let file = |name: &str| certificates.path().join(name);
    let (certificate, key, authorities) = (file("near.pem"), file("near.key"), file("ca.pem"));
    let files = TlsFiles { certificate, key, authorities };
    let tls = Arc::new(Tls::load("near", files, Box::new(|_| ())).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for handshake in [Duration::from_millis(50), Duration::from_secs(5)] {
        let (addresses, listen, node) = (vec![address.clone()], Vec::new(), "far".to_owned());
        let endpoint = Endpoint::Tls { addresses, listen, node, tls: tls.clone(), handshake };
        let executor: Arc<dyn Executor> = Arc::new(Tokio::current().unwrap());
        let error = within(endpoint.connect(&executor)).await.unwrap_err();
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

/// More of them than a server has places for, and a node that proves its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peers_do_not_exclude_a_node() {
    let (_certificates, pair, far, address) = far("flood", "");
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let near = pair.start("near", NONE, Tokio::current().unwrap());
    within(near.ready()).await.unwrap();
    drop(silent);
    near.shutdown();
    far.shutdown();
    within(near.join()).await.unwrap();
    within(far.join()).await.unwrap();
}

/// The first address of a node accepts connections and says nothing: the next one is tried after
/// the time for a handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_left_for_the_next_address() {
    let (certificates, _pair, far, address) = far("left", "");
    let silent = TcpListener::bind((host(), PORT)).unwrap();
    let addresses = vec![silent.local_addr().unwrap().to_string(), address];
    let tls = Arc::new(Tls::load("near", files(&certificates, "near"), Box::new(|_| ())).unwrap());
    let (listen, node, handshake) = (Vec::new(), "far".to_owned(), Duration::from_secs(2));
    let endpoint = Endpoint::Tls { addresses, listen, node, tls, handshake };
    let executor = PausedTime::new(Tokio::current().unwrap());
    let shared: Arc<dyn Executor> = Arc::new(executor.clone());
    let connecting = tokio::spawn(endpoint.connect(&shared));
    until(|| executor.next_timer() == Some(handshake)).await;
    executor.advance(handshake);
    within(connecting).await.unwrap().unwrap();
    far.shutdown();
    within(far.join()).await.unwrap();
}

/// `[tls]` and a port that nobody reads by the file: plain TCP is refused there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_without_far_readers_has_tls_too() {
    let certificates = Certificates::of("nobody", &["far", "near"]);
    let text = two_hosts(&certificates, &format!("port = {PORT}"), "");
    // Both nodes on one host: the link goes through memory.
    let text = text.replace("host = \"here\"", "host = \"there\"");
    let there = text.lines().skip_while(|line| *line != "[host.there]").nth(1).unwrap();
    let address = there.trim_start_matches("address = ").trim_matches('"').to_owned();
    let (pair, _) = Pair::new("nobody", text);
    let far = pair.start("far", NONE, Tokio::current().unwrap());
    let answered = answer(format!("{address}:{PORT}"), vec![0xA1; 64]).await;
    assert_eq!(answered.first(), Some(&0x15), "a TLS alert, and no frame: {answered:?}");
    far.shutdown();
    within(far.join()).await.unwrap();
}

/// Names of nodes are compared exactly, so `NEAR` and `near` are two nodes of a topology.
#[test]
fn a_certificate_proves_its_own_name_alone() {
    let certificates = Certificates::of("case", &["near"]);
    for node in ["NEAR", "near."] {
        let files = files(&certificates, "near");
        assert!(Tls::load(node, files, Box::new(|_| ())).is_err(), "`near` proves `{node}`");
    }
}
