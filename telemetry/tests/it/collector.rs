//! A collector for tests: it decodes what it gets by the definitions of OpenTelemetry, and answers
//! as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

/// A test that waits longer has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What the collector does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// It takes the spans or metrics: the answer is the same.
    Take,
    /// It answers with these bytes.
    Bytes(Vec<u8>),
    /// It closes the connection without an answer.
    Close,
    /// It takes the spans, and then closes the connection unasked.
    TakeAndClose,
}

/// A request that was received.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The number of the connection.
    pub(crate) connection: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(key, _)| key == name);
        header.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn spans(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(&*self.body).expect("OTLP")
    }

    pub(crate) fn metrics(&self) -> ExportMetricsServiceRequest {
        ExportMetricsServiceRequest::decode(&*self.body).expect("OTLP")
    }

    /// How many spans it has.
    pub(crate) fn count(&self) -> usize {
        let resources = self.spans().resource_spans;
        let scopes = resources.iter().flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }
}

/// Attributes, with numbers as texts.
pub(crate) fn texts(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

/// A collector, whose threads end with the connections.
pub(crate) struct Collector {
    address: SocketAddr,
    requests: Receiver<Request>,
}

impl Collector {
    /// A collector that gives these answers, and then takes everything.
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let replies = Arc::new(Mutex::new(replies.into_iter().collect::<VecDeque<_>>()));
        let (sender, requests) = channel();
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (sender, replies) = (sender.clone(), replies.clone());
                let stream = stream.unwrap();
                thread::spawn(move || serve(&stream, connection, &sender, &replies));
            }
        });
        Collector { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request.
    pub(crate) fn request(&self) -> Request {
        self.requests.recv_timeout(DEADLINE).expect("a request")
    }

    /// The requests that were received and not taken.
    #[allow(dead_code, reason = "the tests of processes use it")]
    pub(crate) fn rest(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }
}

/// An answer with this head and body.
pub(crate) fn answer(head: &str, body: &[u8]) -> Reply {
    let bytes = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    Reply::Bytes([bytes.as_bytes(), body].concat())
}

type Replies = Mutex<VecDeque<Reply>>;

fn serve(stream: &TcpStream, connection: usize, sender: &Sender<Request>, replies: &Replies) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader, connection) {
        let reply = replies.lock().unwrap().pop_front().unwrap_or(Reply::Take);
        let _ = sender.send(request);
        let taken = ExportTraceServiceResponse { partial_success: None }.encode_to_vec();
        let Reply::Bytes(take) = answer("200 OK", &taken) else { unreachable!() };
        let mut stream = stream;
        match reply {
            Reply::Take => stream.write_all(&take).unwrap(),
            Reply::TakeAndClose => return stream.write_all(&take).unwrap(),
            // The other side may have seen enough.
            Reply::Bytes(bytes) => _ = stream.write_all(&bytes),
            Reply::Close => return,
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>, connection: usize) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers = lines[1..].iter().map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_owned(), value.to_owned())
    });
    let (line, headers) = (lines[0].clone(), headers.collect());
    let mut request = Request { line, headers, body: Vec::new(), connection };
    let length = request.header("content-length").parse().expect("a length");
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}
