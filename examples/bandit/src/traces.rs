//! Receives spans by OTLP over HTTP, where a machine has no collector, and prints one trace as a
//! tree. Production uses Jaeger or Tempo.
//!
//! It has a thread and a runtime of its own, on any executor of the services. Foreign bytes are
//! limited in number and size, and texts lose the letters that a terminal obeys.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    fmt::Write as _,
    io,
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span as Received, status::StatusCode as Outcome},
};
use prost::Message;
use tokio::{sync::Semaphore, time::sleep};

use crate::report::nanos;

/// The most connections, bytes of a request, spans, and spans of a trace.
const CONNECTIONS: usize = 32;
const LONGEST: usize = 4 << 20;
const MOST: usize = 100_000;
const MOST_OF_TRACE: usize = 64;
/// The time for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// The pause after an error of the listener, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);
/// The letters of the columns, without the spaces between them.
const SERVICE: usize = 26;
const NAME: usize = 22;
const NODE: usize = 10;
const TIME: usize = 8;

/// The spans of each trace.
#[derive(Debug, Default)]
pub struct Traces {
    spans: HashMap<[u8; 16], Vec<Span>>,
    count: usize,
}

/// The work of a service with one message.
#[derive(Clone, Debug)]
struct Span {
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    name: String,
    service: String,
    node: String,
    /// In nanoseconds of Unix time, as the end, which is not earlier.
    start: u64,
    end: u64,
}

/// Receives spans from these clients until the process ends.
///
/// # Errors
/// If the system has no thread or file left.
pub fn receive(listener: TcpListener) -> io::Result<Arc<Mutex<Traces>>> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let traces = Arc::<Mutex<Traces>>::default();
    let received = traces.clone();
    let run = move || runtime.block_on(accept(listener, received));
    thread::Builder::new().name("traces".to_owned()).spawn(run)?;
    Ok(traces)
}

async fn accept(listener: TcpListener, traces: Arc<Mutex<Traces>>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let traces = traces.clone();
        tokio::spawn(async move {
            let service = service_fn(async |request| {
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = take(request, &traces).await;
                Ok::<_, Infallible>(response)
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            // An error is that of the client.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

async fn take(request: Request<Incoming>, traces: &Mutex<Traces>) -> StatusCode {
    let (head, body) = request.into_parts();
    let is_of_spans = head.uri.path() == "/v1/traces";
    if head.method != Method::POST || !(is_of_spans || head.uri.path() == "/v1/metrics") {
        return StatusCode::NOT_FOUND;
    }
    if body.size_hint().lower() > LONGEST as u64 {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    let Ok(body) = Limited::new(body, LONGEST).collect().await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    if is_of_spans {
        let Ok(request) = ExportTraceServiceRequest::decode(body.to_bytes()) else {
            return StatusCode::BAD_REQUEST;
        };
        traces.lock().unwrap_or_else(PoisonError::into_inner).add(&request);
    }
    StatusCode::OK
}

impl Traces {
    fn add(&mut self, request: &ExportTraceServiceRequest) {
        for of_service in &request.resource_spans {
            let resource = of_service.resource.as_ref();
            let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
            let of = |key| label(text(attributes, key));
            let (service, node) = (of("service.name"), of("mycelium.node"));
            for received in of_service.scope_spans.iter().flat_map(|scope| &scope.spans) {
                self.add_span(received, &service, &node);
            }
        }
    }

    fn add_span(&mut self, received: &Received, service: &str, node: &str) {
        let ids = (received.trace_id.as_slice().try_into(), received.span_id.as_slice().try_into());
        let (Ok(trace), Ok(id)) = ids else { return };
        if self.count >= MOST {
            return;
        }
        let spans = self.spans.entry(trace).or_default();
        if spans.len() >= MOST_OF_TRACE || spans.iter().any(|span| span.id == id) {
            return;
        }
        let has_failed = received.status.as_ref().is_some_and(|it| it.code() == Outcome::Error);
        let (start, end) = (received.start_time_unix_nano, received.end_time_unix_nano);
        spans.push(Span {
            id,
            parent: received.parent_span_id.as_slice().try_into().ok(),
            name: label(&received.name) + if has_failed { " (failed)" } else { "" },
            service: service.to_owned(),
            node: node.to_owned(),
            start,
            end: end.max(start),
        });
        self.count += 1;
    }

    /// A typical trace as text: of those that are whole and went through the most nodes, the one of
    /// median duration.
    #[must_use]
    pub fn typical(&self) -> Option<String> {
        let nodes =
            |spans: &[Span]| spans.iter().map(|it| it.node.clone()).collect::<BTreeSet<_>>();
        let whole = self.spans.iter().filter(|(_, spans)| {
            let roots = spans.iter().filter(|span| span.parent.is_none()).count();
            roots == 1 && rows(spans).len() == spans.len()
        });
        let ranked = whole.map(|(id, spans)| (nodes(spans).len(), duration(spans), id));
        let mut ranked: Vec<_> = ranked.collect();
        let most = ranked.iter().map(|(nodes, ..)| *nodes).max()?;
        ranked.retain(|(nodes, ..)| *nodes == most);
        ranked.sort();
        let (_, _, id) = ranked[ranked.len() / 2];
        let name = u128::from_be_bytes(*id);
        Some(format!(
            "One trace through {most} processes, {name:032x}:\n\n{}",
            tree(&self.spans[id])
        ))
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    match attribute.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// A text from outside: short, and without letters that a terminal obeys.
fn label(text: &str) -> String {
    let is_bad = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    let visible = |letter| if is_bad(letter) { char::REPLACEMENT_CHARACTER } else { letter };
    text.chars().take(SERVICE).map(visible).collect()
}

fn duration(spans: &[Span]) -> u64 {
    let end = spans.iter().map(|span| span.end).max().unwrap_or(0);
    end - first(spans)
}

fn first(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.start).min().unwrap_or(0)
}

/// The spans that follow from the first one, each before those that it caused, with the lines of
/// the tree before it.
fn rows(spans: &[Span]) -> Vec<(String, &Span)> {
    let mut rows = Vec::new();
    add_rows(spans, None, "", &mut rows);
    rows
}

/// Each span has one parent, so it is reached once.
fn add_rows<'a>(
    spans: &'a [Span],
    parent: Option<[u8; 8]>,
    before: &str,
    rows: &mut Vec<(String, &'a Span)>,
) {
    let mut children: Vec<_> = spans.iter().filter(|span| span.parent == parent).collect();
    children.sort_by_key(|span| (span.start, span.end, span.id));
    for (place, span) in children.iter().enumerate() {
        let (own, below) = match parent {
            None => ("", ""),
            Some(_) if place + 1 == children.len() => ("└─ ", "   "),
            Some(_) => ("├─ ", "│  "),
        };
        rows.push((format!("{before}{own}"), span));
        add_rows(spans, Some(span.id), &format!("{before}{below}"), rows);
    }
}

/// The spans of a trace with their starts, counted from that of the trace, and their durations.
fn tree(spans: &[Span]) -> String {
    let mut text = String::new();
    line(&mut text, ["service", "span", "node", "starts", "lasts"].map(str::to_owned));
    for (before, span) in rows(spans) {
        let (starts, lasts) = (nanos(span.start - first(spans)), nanos(span.end - span.start));
        let service = format!("{before}{}", span.service);
        line(&mut text, [service, span.name.clone(), span.node.clone(), starts, lasts]);
    }
    text
}

fn line(text: &mut String, [service, name, node, starts, lasts]: [String; 5]) {
    // Writing into a text cannot fail.
    let _ = writeln!(
        text,
        "{service:SERVICE$.SERVICE$}  {name:NAME$.NAME$}  {node:NODE$.NODE$}  {starts:>TIME$}  {lasts:>TIME$}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(number: u8, parent: u8, service: &str, start: u64) -> Span {
        Span {
            id: [number; 8],
            parent: (parent > 0).then_some([parent; 8]),
            name: format!("process {number}"),
            service: service.to_owned(),
            node: service.to_lowercase(),
            start,
            end: start + 10,
        }
    }

    #[test]
    fn a_tree_has_a_line_for_each_span_below_the_one_that_caused_it() {
        let spans = [
            span(4, 2, "D", 3_000),
            span(3, 1, "C", 2_500),
            span(1, 0, "A", 0),
            span(2, 1, "B", 1_500),
        ];
        let expected = "\
service                     span                    node          starts     lasts
A                           process 1               a               0 ns     10 ns
├─ B                        process 2               b            1.50 µs     10 ns
│  └─ D                     process 4               d            3.00 µs     10 ns
└─ C                        process 3               c            2.50 µs     10 ns
";
        assert_eq!(tree(&spans), expected);
    }

    #[test]
    fn the_typical_trace_is_whole_and_went_through_the_most_nodes() {
        let mut traces = Traces::default();
        assert_eq!(traces.typical(), None);
        let whole = vec![span(1, 0, "A", 0), span(2, 1, "B", 5)];
        let gap = vec![span(1, 0, "A", 0), span(3, 2, "B", 0), span(4, 2, "C", 0)];
        let roots = vec![span(1, 0, "A", 0), span(2, 0, "B", 0), span(3, 0, "C", 0)];
        let circle = vec![span(1, 0, "A", 0), span(2, 3, "B", 0), span(3, 2, "C", 0)];
        let one = vec![span(1, 0, "A", 0)];
        for (number, spans) in (1..).zip([whole, gap, roots, circle, one]) {
            traces.spans.insert([number; 16], spans);
        }
        let text = traces.typical().unwrap();
        assert!(text.starts_with("One trace through 2 processes, 01010101"), "{text}");
    }

    #[test]
    fn spans_are_limited_and_their_texts_are_not_obeyed() {
        let mut traces = Traces::default();
        let received = |number: u8| Received {
            trace_id: vec![1; 16],
            span_id: vec![number; 8],
            name: "a\x1b[2Jb\u{202e}".to_owned(),
            ..Received::default()
        };
        (0..200).for_each(|number| traces.add_span(&received(number), "A", "a"));
        traces.add_span(&received(0), "A", "a");
        traces.add_span(&Received { span_id: vec![1; 7], ..received(0) }, "A", "a");
        assert_eq!(traces.count, MOST_OF_TRACE);
        assert_eq!(traces.spans[&[1; 16]][0].name, "a\u{fffd}[2Jb\u{fffd}");
        traces.count = MOST;
        traces.add_span(&Received { trace_id: vec![2; 16], ..received(0) }, "A", "a");
        assert_eq!(traces.spans.len(), 1);
    }
}
