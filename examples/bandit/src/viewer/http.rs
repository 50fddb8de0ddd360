//! The viewer over HTTP/1.1: one connection, its requests and their answers. Its input is
//! untrusted: at worst it ends this connection.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    future::Future,
    io,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_channel::oneshot;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{
    AsyncReadExt, AsyncWriteExt,
    future::{Either, select},
};

use super::{otlp, page::page, store::Traces, svg::waterfall, trace::TraceId};

/// The most bytes of the head of a request, and of its body. A batch of Mycelium has 512 spans,
/// which is a fifth of that.
const LONGEST_HEAD: usize = 8 << 10;
pub(super) const LONGEST_BODY: usize = 1 << 20;
/// The most headers of a request.
const MOST_HEADERS: usize = 64;
/// The most bytes that are read after an error, so that the client gets its answer: a connection
/// that is closed with unread bytes is reset.
const MOST_REST: u64 = 4 << 20;
/// The most connections. A further one takes the place of the one that has waited longest for its
/// request; it gets an error if none waits.
pub(super) const MOST_CONNECTIONS: usize = 32;
/// How long a request may take to arrive, and a response to be taken.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the rest of a request is read after an error.
const REST: Duration = Duration::from_secs(1);
/// The name by which a viewer knows another one.
pub const SERVER: &str = "mycelium-viewer";

const PROTOBUF: &str = "application/x-protobuf";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// What all connections share: the traces.
#[derive(Debug)]
pub struct Viewer {
    program: String,
    traces: Mutex<Traces>,
    connections: Mutex<Connections>,
}

/// The head of a request.
struct Head {
    method: Method,
    path: String,
    /// The bytes of the head.
    length: usize,
    /// The bytes of the body.
    body: usize,
    is_last: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// The body of an answer with its status and its type.
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn error(status: &'static str, body: impl ToString) -> Self {
        Self { status, kind: TEXT, body: body.to_string() + "\n" }
    }
}

impl Viewer {
    /// A viewer of a program, with no trace.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            traces: Mutex::default(),
            connections: Mutex::default(),
        }
    }

    /// Reads the traces.
    pub fn with<T>(&self, read: impl FnOnce(&Traces) -> T) -> T {
        read(&self.traces.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves one connection to its end.
    ///
    /// `sleep` makes a timer of the executor. Dropping the future closes the stream.
    ///
    /// # Errors
    /// If the stream fails, or the client is too slow.
    pub async fn serve<S, F, T>(&self, mut stream: S, sleep: F) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Fn(Duration) -> T,
        T: Future<Output = ()>,
    {
        let mut place = Place::new(&self.connections);
        let mut bytes = Vec::new();
        loop {
            let timeout = sleep(TIMEOUT);
            let lost = place.wait();
            let request = {
                let read = pin!(read(&mut stream, &mut bytes));
                match select(read, select(pin!(timeout), lost)).await {
                    Either::Left((request, _)) => Some(request?),
                    Either::Right((Either::Left(_), _)) => None,
                    Either::Right((Either::Right(_), _)) => return Ok(()),
                }
            };
            place.stop_waiting();
            let request = match request {
                Some(request) => request,
                None if bytes.is_empty() => return Ok(()),
                None => {
                    let error = format!("the request took longer than {TIMEOUT:?}");
                    Err(Answer::error("408 Request Timeout", error))
                }
            };
            let too_many = place.connections().open.len() > MOST_CONNECTIONS;
            let (answer, is_head, is_last) = match request {
                Ok(None) => return Ok(()),
                Ok(Some(_)) if too_many => {
                    (Answer::error("503 Service Unavailable", "too many connections"), false, true)
                }
                Ok(Some(head)) => {
                    let end = head.length + head.body;
                    let answer = self.answer(&head, &bytes[head.length..end]);
                    bytes.drain(..end);
                    (answer, head.method == Method::Head, head.is_last)
                }
                // Where the next request begins is unknown.
                Err(answer) => (answer, false, true),
            };
            let answer = encode(&answer, is_head, is_last);
            let written = pin!(stream.write_all(answer.as_bytes()));
            match select(written, pin!(sleep(TIMEOUT))).await {
                Either::Left((written, _)) => written?,
                Either::Right(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
            if is_last {
                stream.close().await?;
                let mut sink = futures_util::io::sink();
                let rest = (&mut stream).take(MOST_REST);
                let rest = pin!(futures_util::io::copy(rest, &mut sink));
                select(rest, pin!(sleep(REST))).await;
                return Ok(());
            }
        }
    }

    fn answer(&self, head: &Head, body: &[u8]) -> Answer {
        let is_read = matches!(head.method, Method::Get | Method::Head);
        let allow = |methods: &str| {
            let error = format!("expected {methods}");
            Answer::error("405 Method Not Allowed", error)
        };
        match head.path.as_str() {
            "/v1/traces" if head.method == Method::Post => {
                // One request is decoded at a time, which limits the memory.
                let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
                match otlp::receive(body, &mut traces) {
                    // An empty ExportTraceServiceResponse.
                    Ok(()) => Answer { status: "200 OK", kind: PROTOBUF, body: String::new() },
                    Err(error) => Answer::error("400 Bad Request", error),
                }
            }
            // For programs that send all to one address. The nodes here have them at `/metrics`.
            "/v1/metrics" if head.method == Method::Post => {
                Answer { status: "200 OK", kind: PROTOBUF, body: String::new() }
            }
            "/v1/traces" | "/v1/metrics" => allow("POST"),
            "/" if is_read => {
                let body = self.with(|traces| page(&self.program, traces));
                Answer { status: "200 OK", kind: HTML, body }
            }
            "/" => allow("GET or HEAD"),
            path => match path.strip_prefix("/trace/").and_then(|name| name.strip_suffix(".svg")) {
                Some(_) if !is_read => allow("GET or HEAD"),
                Some(id) => {
                    let id = id.parse::<TraceId>();
                    match id.map(|id| self.with(|traces| traces.get(id).map(waterfall))) {
                        Ok(Some(body)) => Answer { status: "200 OK", kind: SVG, body },
                        Ok(None) => Answer::error("404 Not Found", "no such trace, or no longer"),
                        Err(error) => Answer::error("404 Not Found", error),
                    }
                }
                None => Answer::error("404 Not Found", "expected /, /trace/<id>.svg or /v1/traces"),
            },
        }
    }
}

/// The connections that have a place.
#[derive(Debug, Default)]
struct Connections {
    /// By a number that grows with each request. Those that wait for one have a sender, which is
    /// dropped when they lose their place.
    open: BTreeMap<u64, Option<oneshot::Sender<()>>>,
    next: u64,
}

/// The place of a connection.
struct Place<'a> {
    all: &'a Mutex<Connections>,
    number: u64,
}

impl<'a> Place<'a> {
    fn new(all: &'a Mutex<Connections>) -> Self {
        let mut place = Self { all, number: 0 };
        place.renew(None);
        let mut connections = place.connections();
        if connections.open.len() > MOST_CONNECTIONS {
            let mut waiting = connections.open.iter().filter(|(_, sender)| sender.is_some());
            if let Some(longest) = waiting.next().map(|(number, _)| *number) {
                connections.open.remove(&longest);
            }
        }
        drop(connections);
        place
    }

    fn connections(&self) -> MutexGuard<'a, Connections> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&mut self, sender: Option<oneshot::Sender<()>>) {
        let mut connections = self.connections();
        connections.open.remove(&self.number);
        connections.next += 1;
        self.number = connections.next;
        connections.open.insert(self.number, sender);
    }

    /// From now on another connection may take the place: then the receiver is ready.
    fn wait(&mut self) -> oneshot::Receiver<()> {
        let (sender, lost) = oneshot::channel();
        self.renew(Some(sender));
        lost
    }

    fn stop_waiting(&self) {
        // It may have lost its place just now.
        if let Some(sender) = self.connections().open.get_mut(&self.number) {
            *sender = None;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.connections().open.remove(&self.number);
    }
}

/// Reads a request with its body to the start of `bytes`, where a part of it may be. `None` if the
/// client has closed the connection, and an answer if the request is refused.
async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    bytes: &mut Vec<u8>,
) -> io::Result<Result<Option<Head>, Answer>> {
    let mut part = [0; 8 << 10];
    loop {
        match parse(bytes) {
            Ok(Some(head)) if bytes.len() >= head.length + head.body => return Ok(Ok(Some(head))),
            Ok(_) => {}
            Err(answer) => return Ok(Err(answer)),
        }
        match stream.read(&mut part).await? {
            0 if bytes.is_empty() => return Ok(Ok(None)),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
}

/// The head of a request; `None` if it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<Head>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let too_long = |what, most| {
        Err(Answer::error(
            "431 Request Header Fields Too Large",
            format!("the {what} of a request has at most {most}"),
        ))
    };
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() <= LONGEST_HEAD => return Ok(None),
        Ok(_) => return too_long("head", "8 KiB"),
        Err(httparse::Error::TooManyHeaders) => return too_long("head", "64 headers"),
        Err(error) => return Err(Answer::error("400 Bad Request", error)),
    };
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let target = request.path.unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let is_post = method == Method::Post;
    let mut head = Head { method, path, length, body: 0, is_last: request.version != Some(1) };
    let (mut lengths, mut is_protobuf) = (Vec::new(), false);
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_ascii_lowercase();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value),
            "transfer-encoding" => {
                let error = "expected a request with Content-Length";
                return Err(Answer::error("411 Length Required", error));
            }
            "content-encoding" if value != "identity" => {
                let error = "expected spans that are not compressed";
                return Err(Answer::error("415 Unsupported Media Type", error));
            }
            "content-type" => {
                is_protobuf = value.split(';').next().map(str::trim) == Some(PROTOBUF)
            }
            "connection" => head.is_last |= value.split(',').any(|word| word.trim() == "close"),
            _ => {}
        }
    }
    head.body = match &*lengths {
        [] if is_post => {
            let error = "expected a request with Content-Length";
            return Err(Answer::error("411 Length Required", error));
        }
        [] => 0,
        [length] if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            // A number that is too great for its type is too great.
            length.parse().unwrap_or(usize::MAX)
        }
        _ => return Err(Answer::error("400 Bad Request", "invalid Content-Length")),
    };
    if head.body > LONGEST_BODY {
        let error = format!("the body of a request has at most {LONGEST_BODY} bytes");
        return Err(Answer::error("413 Content Too Large", error));
    }
    if is_post && !is_protobuf {
        let error = format!("expected spans as {PROTOBUF}");
        return Err(Answer::error("415 Unsupported Media Type", error));
    }
    Ok(Some(head))
}

fn encode(answer: &Answer, is_head: bool, is_last: bool) -> String {
    let Answer { status, kind, body } = answer;
    let mut text = format!(
        "HTTP/1.1 {status}\r\nserver: {SERVER}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\n",
        body.len()
    );
    if is_last {
        text.push_str("connection: close\r\n");
    }
    let _ = write!(text, "\r\n{}", if is_head { "" } else { body });
    text
}
