//! The viewer's HTTP, over pipes in memory: what it answers to browsers and exporters, and to
//! clients that break the rules.

mod common;

use std::{
    future::{pending, ready},
    pin::pin,
    thread,
    time::Duration,
};

use bandit::viewer::http::{SERVER, Viewer};
use common::{block_on, pipe};
use futures_util::{AsyncReadExt, AsyncWriteExt, FutureExt};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;

const CLOSE: &str = "connection: close\r\n";
const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";
const ID: &str = "07070707070707070707070707070707";

/// What the viewer sends back to these bytes until it closes the connection.
fn exchange(viewer: &Viewer, bytes: &[u8]) -> String {
    let (server, mut client) = pipe(1 << 23, false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // These pipes do not close one way, so what follows an error is not waited for.
            let sleep = |time| async move {
                if time > Duration::from_secs(1) {
                    pending::<()>().await;
                }
            };
            block_on(viewer.serve(server, sleep))
        });
        block_on(async {
            client.write_all(bytes).await.unwrap();
            client.close().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        })
    })
}

fn get(viewer: &Viewer, path: &str) -> String {
    exchange(viewer, format!("GET {path} HTTP/1.1\r\n{CLOSE}\r\n").as_bytes())
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST /v1/traces HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn spans(count: u8) -> Vec<u8> {
    let spans = (1..=count).map(|number| Span {
        trace_id: vec![7; 16],
        span_id: vec![number; 8],
        parent_span_id: if number > 1 { vec![1; 8] } else { Vec::new() },
        name: format!("process {number}"),
        ..Span::default()
    });
    let scope_spans = ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() };
    let resource_spans =
        ResourceSpans { scope_spans: vec![scope_spans], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn spans_that_were_sent_are_shown() {
    let viewer = Viewer::new("bandit");
    // One connection for two requests.
    let first = post(PROTOBUF, &spans(2));
    let bytes = [first, post(&format!("{PROTOBUF}{CLOSE}"), &spans(3))].concat();
    let answer = exchange(&viewer, &bytes);
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answer}");
    assert_eq!(answer.matches("content-length: 0\r\n").count(), 2, "{answer}");
    let metrics = String::from_utf8(post(&format!("{PROTOBUF}{CLOSE}"), b"")).unwrap();
    let metrics = exchange(&viewer, metrics.replace("traces", "metrics").as_bytes());
    assert_eq!(status(&metrics), "200", "taken and not shown");
    let page = get(&viewer, "/");
    assert!(page.contains("3 spans in 1 process") && page.contains("process 3"), "{page}");
    assert!(page.contains(&format!("server: {SERVER}\r\n")), "{page}");
    let picture = get(&viewer, &format!("/trace/{ID}.svg"));
    let (head, picture) = picture.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: image/svg+xml"), "{head}");
    assert_eq!(
        roxmltree::Document::parse(picture).unwrap().root_element().tag_name().name(),
        "svg"
    );
    let head = exchange(&viewer, format!("HEAD / HTTP/1.1\r\n{CLOSE}\r\n").as_bytes());
    assert!(head.ends_with("\r\n\r\n") && status(&head) == "200", "{head}");
}

#[test]
fn requests_that_break_a_rule_are_refused_and_add_nothing() {
    let viewer = Viewer::new("bandit");
    let typed = |body: &[u8]| post(&format!("{PROTOBUF}{CLOSE}"), body);
    let mut cut = spans(3);
    cut.truncate(cut.len() - 1);
    let long = "x".repeat(9 << 10);
    let headers = "a: b\r\n".repeat(65);
    let cases: [(&str, Vec<u8>); 19] = [
        ("400", typed(b"\xff\xff\xff\xff")),
        ("400", typed(&cut)),
        ("400", typed(&[0x0a; 100_000])),
        ("413", typed(&vec![0; (1 << 20) + 1])),
        ("415", post("", &spans(1))),
        ("415", post("content-type: application/json\r\n", b"{}")),
        ("415", post(&format!("{PROTOBUF}content-encoding: gzip\r\n"), b"\x1f\x8b")),
        ("411", format!("POST /v1/traces HTTP/1.1\r\n{PROTOBUF}\r\n").into()),
        ("411", post(&format!("{PROTOBUF}transfer-encoding: chunked\r\n"), b"0\r\n\r\n")),
        ("400", post(&format!("{PROTOBUF}content-length: 7\r\n"), &spans(1))),
        ("400", b"POST /v1/traces HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_vec()),
        (
            "413",
            b"POST /v1/traces HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n".to_vec(),
        ),
        ("405", b"GET /v1/traces HTTP/1.0\r\n\r\n".to_vec()),
        ("405", b"DELETE / HTTP/1.0\r\n\r\n".to_vec()),
        ("404", b"GET /../etc/passwd HTTP/1.0\r\n\r\n".to_vec()),
        ("404", b"GET /trace/%3Csvg%3E.svg HTTP/1.0\r\n\r\n".to_vec()),
        ("431", format!("GET /{long} HTTP/1.1\r\n\r\n").into()),
        ("431", format!("GET / HTTP/1.1\r\n{headers}\r\n").into()),
        ("400", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    ];
    for (expected, bytes) in cases {
        let answer = exchange(&viewer, &bytes);
        let request = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        assert_eq!(status(&answer), expected, "{request}: {answer}");
        assert!(viewer.with(|traces| traces.is_empty()), "{request}");
    }
    let missing = get(&viewer, &format!("/trace/{ID}.svg"));
    assert_eq!(status(&missing), "404");
}

#[test]
fn a_client_that_is_slow_or_silent_is_not_waited_for() {
    let viewer = Viewer::new("bandit");
    let against = |bytes: &'static [u8]| {
        let (server, mut client) = pipe(1 << 20, false);
        block_on(async {
            client.write_all(bytes).await.unwrap();
            // All time is over at once.
            viewer.serve(server, |_| ready(())).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        })
    };
    assert_eq!(against(b""), "");
    assert_eq!(status(&against(b"GET / HT")), "408");
    let half = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\n\
        content-length: 9\r\n\r\n1234";
    assert_eq!(status(&against(half)), "408");
}

#[test]
fn connections_are_limited() {
    let viewer = Viewer::new("bandit");
    let (servers, mut clients): (Vec<_>, Vec<_>) = (0..32).map(|_| pipe(1 << 10, false)).unzip();
    let serve = |server| Box::pin(viewer.serve(server, |_| pending::<()>()));
    let mut open: Vec<_> = servers.into_iter().map(serve).collect();
    for (connection, client) in open.iter_mut().zip(&mut clients) {
        // They do not read the page, which is longer than the pipe.
        let request = client.write_all(b"GET / HTTP/1.1\r\n\r\n").now_or_never();
        assert!(request.unwrap().is_ok() && pin!(connection).now_or_never().is_none());
    }
    assert_eq!(status(&get(&viewer, "/")), "503");
    drop(open.pop());
    assert_eq!(status(&get(&viewer, "/")), "200");
}

#[test]
fn silent_connections_make_room_for_others() {
    let viewer = Viewer::new("bandit");
    let (servers, clients): (Vec<_>, Vec<_>) = (0..64).map(|_| pipe(1 << 10, false)).unzip();
    let serve = |server| Box::pin(viewer.serve(server, |_| pending::<()>()));
    let mut open: Vec<_> = servers.into_iter().map(serve).collect();
    for connection in &mut open {
        assert!(pin!(connection).now_or_never().is_none());
    }
    assert_eq!(status(&get(&viewer, "/")), "200");
    let ended = open.iter_mut().map(|connection| pin!(connection).now_or_never().is_some());
    // Those that have waited longest: 32 for the others, and one for the request.
    let expected = (0..64).map(|number| number < 33);
    assert!(ended.eq(expected));
    drop(clients);
}
