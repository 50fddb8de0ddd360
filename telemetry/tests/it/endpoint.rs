//! The endpoint over real connections: what a client gets, and clients that are slow, silent, many,
//! or send anything else.
#![cfg(feature = "prometheus")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mycelium_telemetry::http::{Endpoint, Stopper};
use mycelium_telemetry::metrics::Collector;
use mycelium_telemetry::{HealthOf, HealthReading, Snapshot, Source};

/// A node that is ready as the test says.
struct Node<F> {
    is_ready: Arc<AtomicBool>,
    snapshot: F,
}

impl<F: Fn() -> Snapshot + Send> Source for Node<F> {
    fn snapshot(&self) -> Option<Snapshot> {
        Some((self.snapshot)())
    }

    fn live(&self) -> Result<String, String> {
        panic!("a mistake")
    }

    fn ready(&self) -> Result<String, String> {
        match self.is_ready.load(Ordering::SeqCst) {
            true => Ok("ready\n".to_owned()),
            false => Err("starting\n".to_owned()),
        }
    }
}

struct Server {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
    is_ready: Arc<AtomicBool>,
}

impl Server {
    /// Serves a node with this name, which is in each sample.
    fn new(name: &str) -> Server {
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (address, stopper) = (endpoint.address().unwrap(), endpoint.stopper());
        let is_ready = Arc::<AtomicBool>::default();
        let health = vec![HealthReading { of: HealthOf::Node, state: "ready" }];
        let shown = Snapshot { node: name.to_owned(), health, ..Snapshot::default() };
        let node = Node { is_ready: is_ready.clone(), snapshot: move || shown.clone() };
        let run = move || endpoint.run(Box::new(node), Collector::new());
        let thread = Some(std::thread::spawn(run));
        Server { address, stopper, thread, is_ready }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        // The limit of a test that hangs.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes, and returns the response until the server closes.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may answer before it has read all.
        let _ = stream.write_all(bytes);
        read(&mut stream)
    }

    fn status(&self, bytes: &[u8]) -> String {
        let response = self.send(bytes);
        response.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn works(&self) {
        let mut response = ureq::get(self.url("/metrics")).call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        assert!(text.contains("mycelium_health{"), "{text}");
    }
}

/// It ends with all of its connections.
impl Drop for Server {
    fn drop(&mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after a response loses nothing.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_client_gets_metrics_in_the_format_that_it_requests_and_the_health() {
    let served = Server::new("main");
    let mut plain = ureq::get(served.url("/metrics?name=x")).call().unwrap();
    assert_eq!(plain.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = plain.body_mut().read_to_string().unwrap();
    assert!(text.contains("mycelium_health{node=\"main\",state=\"ready\"} 1\n"), "{text}");
    assert!(!text.contains("# EOF"), "{text}");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5";
    let mut open = ureq::get(served.url("/metrics")).header("accept", accept).call().unwrap();
    assert!(open.headers()["content-type"].to_str().unwrap().contains("openmetrics-text"));
    assert!(open.body_mut().read_to_string().unwrap().ends_with("# EOF\n"));
    let refuses = "application/openmetrics-text;version=1.0.0;q=0,text/plain;version=0.0.4";
    let plain = ureq::get(served.url("/metrics")).header("accept", refuses).call().unwrap();
    assert!(plain.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let head = ureq::head(served.url("/metrics")).call().unwrap();
    assert!(head.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap() > 100);
    let ready = || ureq::get(served.url("/ready")).call();
    assert!(matches!(ready(), Err(ureq::Error::StatusCode(503))));
    served.is_ready.store(true, Ordering::SeqCst);
    assert_eq!(ready().unwrap().body_mut().read_to_string().unwrap(), "ready\n");
    // A panic of the source is a response, and not the end.
    assert!(matches!(ureq::get(served.url("/live")).call(), Err(ureq::Error::StatusCode(500))));
    served.works();
}

#[test]
fn other_requests_are_refused() {
    let served = Server::new("main");
    assert_eq!(served.status(b"GET / HTTP/1.1\r\n\r\n"), "404");
    assert_eq!(served.status(b"GET /metrics/../live HTTP/1.1\r\n\r\n"), "404");
    assert_eq!(served.status(b"POST /metrics HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"), "405");
    let refused = served.send(b"DELETE /metrics HTTP/1.0\r\n\r\n");
    assert!(refused.contains("\r\nallow: GET, HEAD\r\n"), "{refused}");
    for invalid in [
        b"hello\r\n\r\n".as_slice(),
        b"GET /metrics HTTP/2.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0",
        b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
    ] {
        assert_eq!(served.status(invalid), "400", "{invalid:?}");
    }
    // A client of HTTP/2 only does not read HTTP/1.1.
    assert_eq!(served.status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "");
    let many = format!("GET /live HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert_eq!(served.status(many.as_bytes()), "431");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    assert_eq!(served.status(long.as_bytes()), "431");
    // The first of several requests gets its response, and the connection is closed.
    let two = b"GET /ready HTTP/1.1\r\n\r\nGET /ready HTTP/1.1\r\n\r\n";
    assert_eq!(served.send(two).matches("HTTP/1.1 503").count(), 1);
    served.works();
}

#[test]
fn a_request_may_come_in_pieces_and_its_client_may_close_its_side() {
    let served = Server::new("main");
    let mut stream = served.connect();
    for byte in b"GET /ready HTTP/1.1\r\nhost: x\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(read(&mut stream).starts_with("HTTP/1.1 503 "));
    // A client that vanishes in its request is forgotten.
    let mut stream = served.connect();
    stream.write_all(b"GET /rea").unwrap();
    drop(stream);
    served.works();
}

#[test]
fn silent_and_slow_clients_keep_nobody_out() {
    let served = Server::new("main");
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut stream = served.connect();
        // Some of them begin a request.
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nx: ");
        }
        silent.push(stream);
        if number % 20 == 0 {
            served.works();
        }
    }
    // The oldest ones were closed to make room.
    assert_eq!(silent[1].read(&mut [0; 16]).unwrap_or(0), 0);
}

/// Clients that send a request, and keep their connections.
fn clients(address: SocketAddr, count: usize, request: &[u8]) -> Vec<TcpStream> {
    let clients = (0..count).map(|_| {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request).unwrap();
        client
    });
    clients.collect()
}

/// Clients that send a whole request and never close, or never read: more in each round than have a
/// place.
#[test]
fn probes_are_answered_while_others_keep_their_connections() {
    let served = Server::new("main");
    let mut open = Vec::new();
    for round in 0..10 {
        open.push(clients(served.address, 40, b"GET /ready HTTP/1.1\r\n\r\n"));
        assert_eq!(served.status(b"GET /ready HTTP/1.1\r\n\r\n"), "503", "round {round}");
    }
    // The samples are more than the buffers of both sides.
    let served = Server::new(&"n".repeat(1 << 20));
    open.push(clients(served.address, 40, b"GET /metrics HTTP/1.1\r\n\r\n"));
    assert_eq!(served.status(b"GET /ready HTTP/1.1\r\n\r\n"), "503");
}

/// The first snapshot stops the endpoint.
#[test]
fn a_stop_waits_for_one_scrape_and_not_for_those_of_all_clients() {
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.address().unwrap();
    let clients = clients(address, 16, b"GET /metrics HTTP/1.1\r\n\r\n");
    let snapshots = Arc::<AtomicU64>::default();
    let stopper = endpoint.stopper();
    let counted = snapshots.clone();
    let snapshot = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        stopper.stop();
        Snapshot::default()
    };
    let node = Node { is_ready: Arc::default(), snapshot };
    endpoint.run(Box::new(node), Collector::new());
    assert_eq!(snapshots.load(Ordering::SeqCst), 1);
    drop(clients);
}
