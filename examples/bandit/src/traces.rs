//! Receives spans by OTLP over HTTP, where a machine has no collector, and prints one trace as a
//! tree. Production uses Jaeger or Tempo.
//!
//! It has a thread and a runtime of its own, on any executor of the services. Foreign bytes are
//! limited in number and size, and characters that a terminal could obey are replaced.

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
    Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span as Received,
};
use prost::Message;
use tokio::sync::Semaphore;

/// The most connections, bytes of a request, spans, and spans of a trace.
const CONNECTIONS: usize = 32;
const LONGEST: usize = 4 << 20;
const MOST: usize = 100_000;
const MOST_OF_TRACE: usize = 64;
/// The time for the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// The most letters of a text.
const LETTERS: usize = 26;

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
    /// When the work began, in nanoseconds of Unix time. `end` is not earlier.
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
        let (stream, _) = listener.accept().await?;
        let traces = traces.clone();
        tokio::spawn(async move {
            let service = service_fn(async |request| {
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = take(request, &traces).await;
                Ok::<_, Infallible>(response)
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            // Ignores an error: the client has caused it.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

async fn take(request: Request<Incoming>, traces: &Mutex<Traces>) -> StatusCode {
    // The metrics that nodes push are not shown.
    let is_of_spans = request.uri().path() == "/v1/traces";
    if request.body().size_hint().lower() > LONGEST as u64 {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    let Ok(body) = Limited::new(request.into_body(), LONGEST).collect().await else {
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
        let (start, end) = (received.start_time_unix_nano, received.end_time_unix_nano);
        spans.push(Span {
            id,
            parent: received.parent_span_id.as_slice().try_into().ok(),
            name: label(&received.name),
            service: service.to_owned(),
            node: node.to_owned(),
            start,
            end: end.max(start),
        });
        self.count += 1;
    }

    /// Returns a typical trace as text: of the complete traces that went through the most nodes,
    /// the one with the median duration.
    pub fn typical(&self) -> Option<String> {
        let whole = self.spans.iter().filter_map(|(id, spans)| {
            let roots = spans.iter().filter(|span| span.parent.is_none()).count();
            let mut rows = Vec::new();
            add_rows(spans, None, "", &mut rows);
            let nodes = spans.iter().map(|span| &span.node).collect::<BTreeSet<_>>().len();
            let end = spans.iter().map(|span| span.end).max()?;
            let is_whole = roots == 1 && rows.len() == spans.len();
            is_whole.then(|| (nodes, end.saturating_sub(rows[0].1.start), id, rows))
        });
        let mut whole: Vec<_> = whole.collect();
        let most = whole.iter().map(|(nodes, ..)| *nodes).max()?;
        whole.retain(|(nodes, ..)| *nodes == most);
        whole.sort_by_key(|(_, duration, id, _)| (*duration, *id));
        let (_, _, id, rows) = &whole[whole.len() / 2];
        let (id, tree) = (u128::from_be_bytes(**id), tree(rows));
        Some(format!("One trace through {most} processes, {id:032x}:\n\n{tree}"))
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    match attribute.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// Shortens a text from outside, and replaces characters that a terminal could obey.
fn label(text: &str) -> String {
    let is_shown = |letter: char| letter.is_alphanumeric() || letter.is_ascii_graphic();
    let shown = |letter| if is_shown(letter) || letter == ' ' { letter } else { '?' };
    text.chars().take(LETTERS).map(shown).collect()
}

/// Adds a row for each span that follows from `parent`, and below it the rows of the spans that it
/// caused. Each row begins with the lines of the tree. Each span has one parent, so it is reached
/// once.
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

/// Returns the spans of a trace as text, with their durations and their starts, counted from the
/// start of the trace.
fn tree(rows: &[(String, &Span)]) -> String {
    let mut text = String::new();
    // Writing into a text cannot fail.
    let mut line = |service: &str, name: &str, node: &str, starts: &str, lasts: &str| {
        _ = writeln!(text, "{service:26.26}  {name:22.22}  {node:10.10}  {starts:>8}  {lasts:>8}");
    };
    line("service", "span", "node", "starts", "lasts");
    for (before, span) in rows {
        let starts = nanos(span.start.saturating_sub(rows[0].1.start));
        let service = format!("{before}{}", span.service);
        line(&service, &span.name, &span.node, &starts, &nanos(span.end - span.start));
    }
    text
}

fn nanos(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        _ => format!("{:.1} ms", nanos as f64 / 1e6),
    }
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
    fn the_typical_trace_is_whole_and_went_through_the_most_nodes() {
        let mut traces = Traces::default();
        assert_eq!(traces.typical(), None);
        let whole = vec![
            span(4, 2, "D", 3_000),
            span(3, 1, "C", 2_500),
            span(1, 0, "A", 0),
            span(2, 1, "B", 1_500),
        ];
        let gap = vec![span(1, 0, "A", 0), span(3, 2, "B", 0), span(4, 2, "C", 0)];
        let roots = vec![span(1, 0, "A", 0), span(2, 0, "B", 0), span(3, 0, "C", 0)];
        let circle = vec![span(1, 0, "A", 0), span(2, 3, "B", 0), span(3, 2, "C", 0)];
        let one = vec![span(1, 0, "A", 0)];
        for (number, spans) in (1..).zip([whole, gap, roots, circle, one]) {
            traces.spans.insert([number; 16], spans);
        }
        let expected = "\
One trace through 4 processes, 01010101010101010101010101010101:

service                     span                    node          starts     lasts
A                           process 1               a               0 ns     10 ns
├─ B                        process 2               b             1.5 µs     10 ns
│  └─ D                     process 4               d             3.0 µs     10 ns
└─ C                        process 3               c             2.5 µs     10 ns
";
        assert_eq!(traces.typical().unwrap(), expected);
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
        traces.add_span(&Received { span_id: vec![1; 7], ..received(0) }, "A", "a");
        assert_eq!(traces.count, MOST_OF_TRACE);
        assert_eq!(traces.spans[&[1; 16]][0].name, "a?[2Jb?");
        traces.count = MOST;
        traces.add_span(&Received { trace_id: vec![2; 16], ..received(0) }, "A", "a");
        assert_eq!(traces.spans.len(), 1);
    }
}
