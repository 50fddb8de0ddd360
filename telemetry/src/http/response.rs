//! What a request gets.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::metrics::Collector;
use crate::metrics::text::Format;
use crate::{Snapshot, Source};

/// The most headers of a request.
const HEADERS: usize = 64;

/// A request as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// More bytes have to come.
    Incomplete,
    /// The path without a query, whether only the head is wanted, and the format.
    Get { path: String, is_head: bool, format: Format },
    /// A method other than GET and HEAD.
    OtherMethod,
    /// More than 64 headers.
    TooLong,
    /// Not HTTP/1.
    Invalid,
}

impl Request {
    /// Reads one from the first bytes of a connection.
    pub(super) fn parse(bytes: &[u8]) -> Request {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Request::Incomplete,
            Err(httparse::Error::TooManyHeaders) => return Request::TooLong,
            Err(_) => return Request::Invalid,
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Request::Invalid;
        };
        let is_head = method == "HEAD";
        if !is_head && method != "GET" {
            return Request::OtherMethod;
        }
        let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
        let mut accepts =
            request.headers.iter().filter(|it| it.name.eq_ignore_ascii_case("accept"));
        let asks = |value: &[u8]| {
            let mut ranges =
                value.split(|byte| *byte == b',').filter_map(|it| str::from_utf8(it).ok());
            ranges.any(accepts_open_metrics)
        };
        let format = match accepts.any(|header| asks(header.value)) {
            true => Format::OpenMetrics,
            false => Format::Plain,
        };
        Request::Get { path, is_head, format }
    }
}

/// Whether a media range of a header `accept` is that of OpenMetrics, and its quality is not 0.
fn accepts_open_metrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let is_it = |name: &str| name.eq_ignore_ascii_case("application/openmetrics-text");
    let quality = |part: &str| part.strip_prefix("q=")?.parse::<f32>().ok();
    parts.next().is_some_and(is_it) && parts.all(|part| quality(part) != Some(0.0))
}

/// Answers requests from a source.
pub(super) struct Responder {
    source: Box<dyn Source>,
    collector: Collector,
}

impl Responder {
    pub(super) fn new(source: Box<dyn Source>, collector: Collector) -> Responder {
        Responder { source, collector }
    }

    /// The bytes of the response.
    pub(super) fn respond(&mut self, request: &Request) -> Vec<u8> {
        let plain = Format::Plain.content_type();
        let text = |status, text: &str| response(status, plain, "", text, false);
        match request {
            Request::Incomplete => text("408 Request Timeout", "the request did not arrive\n"),
            Request::OtherMethod => {
                let body = "expected GET or HEAD\n";
                response("405 Method Not Allowed", plain, "allow: GET, HEAD\r\n", body, false)
            }
            Request::TooLong => {
                text("431 Request Header Fields Too Large", "the request is too long\n")
            }
            Request::Invalid => text("400 Bad Request", "expected a request of HTTP/1.1\n"),
            Request::Get { path, is_head, format } => {
                // A mistake of the source must not end the thread.
                let got = catch_unwind(AssertUnwindSafe(|| self.get(path, *format)));
                let (status, kind, body) = got.unwrap_or_else(|_| {
                    let body = "the node panicked at this request\n".to_owned();
                    ("500 Internal Server Error", plain, body)
                });
                response(status, kind, "", &body, *is_head)
            }
        }
    }

    fn get(&mut self, path: &str, format: Format) -> (&'static str, &'static str, String) {
        let probe = |result: Result<String, String>| match result {
            Ok(body) => ("200 OK", Format::Plain.content_type(), body),
            Err(body) => ("503 Service Unavailable", Format::Plain.content_type(), body),
        };
        match path {
            "/metrics" => match self.source.snapshot() {
                Some(snapshot) => ("200 OK", format.content_type(), self.text(&snapshot, format)),
                None => probe(Err("the node has ended\n".to_owned())),
            },
            "/live" => probe(self.source.live()),
            "/ready" => probe(self.source.ready()),
            _ => {
                let body = "expected /metrics, /live or /ready\n".to_owned();
                ("404 Not Found", Format::Plain.content_type(), body)
            }
        }
    }

    fn text(&mut self, snapshot: &Snapshot, format: Format) -> String {
        format.write(&self.collector.collect(snapshot))
    }
}

fn response(status: &str, content_type: &str, headers: &str, body: &str, is_head: bool) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\n{headers}\
         connection: close\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    if !is_head {
        bytes.extend_from_slice(body.as_bytes());
    }
    bytes
}
