//! Collectors that are away, slow or broken.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_telemetry::otlp::{Resource, Stopper};
use mycelium_telemetry::spans::{Exporter, Notice, OtlpTraces, SpanQueue};
use mycelium_transports::counters::{Reading, Region};
use mycelium_transports::local::{Span, SpanKind, SpanSink};

use crate::collector::{Collector, Reply};

/// An exporter on its thread.
pub(crate) struct Running {
    pub(crate) queue: SpanQueue,
    stopper: Stopper,
    thread: JoinHandle<()>,
    notices: Receiver<Notice>,
    region: Arc<Region>,
}

impl Running {
    pub(crate) fn start(settings: OtlpTraces) -> Running {
        let exporter = Exporter::new(settings).unwrap();
        let (queue, region) = (exporter.queue(), Region::new(1));
        let line = region.line("exporter=traces");
        let (sender, notices) = channel();
        let on_notice = move |notice: &Notice| sender.send(notice.clone()).unwrap();
        let resource = Resource::of_node("main", 7);
        let (stopper, run) = exporter.open(resource, line, 7, on_notice).unwrap();
        Running { queue, stopper, thread: thread::spawn(run), notices, region }
    }

    pub(crate) fn record(&self, spans: usize) {
        let context = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
        let span = Span::new(context, SpanKind::Root, "Feed", "ticks");
        (0..spans).for_each(|_| self.queue.record(span.clone()));
    }

    /// Ends the exporter. Its thread has ended then.
    pub(crate) fn end(self) -> (Reading, Vec<Notice>) {
        self.stopper.stop();
        self.thread.join().unwrap();
        let [reading] = self.region.read().try_into().unwrap();
        (reading, self.notices.iter().collect())
    }
}

/// Batches of two spans, as soon as there are two.
fn settings(url: &str) -> OtlpTraces {
    OtlpTraces::new(url).batch(2).queue(64).delay(Duration::from_secs(3600))
}

/// The counts: exported, dropped by reason (full, failed, refused), batches.
fn counts(reading: &Reading) -> [u64; 5] {
    ["exported", "dropped_full", "dropped_failed", "dropped_refused", "batches"]
        .map(|name| reading.value(name))
}

#[test]
fn batches_use_one_connection() {
    let collector = Collector::new([]);
    let running = Running::start(settings(&collector.url()));
    for _ in 0..3 {
        running.record(2);
        let request = collector.request();
        assert_eq!((request.connection, request.count()), (0, 2));
    }
    running.record(1);
    let (reading, notices) = running.end();
    assert_eq!((counts(&reading), &*notices), ([7, 0, 0, 0, 4], &[][..]));
    assert_eq!(collector.request().count(), 1);
}

#[test]
fn a_connection_that_the_collector_closed_is_replaced() {
    let collector = Collector::new([Reply::TakeAndClose, Reply::TakeAndClose, Reply::Take]);
    let running = Running::start(settings(&collector.url()));
    for connection in 0..3 {
        running.record(2);
        assert_eq!(collector.request().connection, connection);
    }
    let (reading, _) = running.end();
    assert_eq!((counts(&reading), reading.value("errors")), ([6, 0, 0, 0, 3], 0));
}

#[test]
fn a_host_without_an_address_is_an_error_like_others() {
    let running = Running::start(settings("http://no-such-host.invalid:4318"));
    running.record(2);
    let (reading, notices) = running.end();
    assert_eq!(counts(&reading), [0, 0, 2, 0, 0]);
    let error = notices.iter().find_map(|notice| notice.error.clone()).unwrap();
    assert!(error.starts_with("cannot reach the collector: "), "{error}");
}

#[test]
fn a_collector_that_closes_or_sends_garbage_is_tried_again() {
    let garbage = |text: &str| Reply::Bytes(text.as_bytes().to_owned());
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(20_000));
    for reply in [Reply::Close, garbage("SSH-2.0-OpenSSH_9.2\r\n\r\n"), garbage(&endless)] {
        let collector = Collector::new([reply.clone()]);
        let running = Running::start(settings(&collector.url()));
        running.record(2);
        assert_eq!((collector.request().count(), collector.request().count()), (2, 2), "{reply:?}");
        let (reading, notices) = running.end();
        assert_eq!(counts(&reading), [2, 0, 0, 0, 1], "{reply:?}");
        assert_eq!((reading.value("errors"), notices.len()), (1, 1), "{reply:?}");
    }
}

#[test]
fn a_collector_may_refuse_a_request_that_it_has_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // More than the buffers of the connection.
    let settings = OtlpTraces::new(&url).queue(1 << 15).batch(1 << 15).flush(Duration::ZERO);
    let running = Running::start(settings.delay(Duration::from_secs(3600)));
    running.record(1 << 15);
    let mut stream = listener.accept().unwrap().0;
    stream.read_exact(&mut [0; 100]).unwrap();
    stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").unwrap();
    // The next request comes over another connection.
    running.record(1 << 15);
    let next = listener.accept().unwrap();
    let (reading, notices) = running.end();
    assert_eq!(counts(&reading), [0, 0, 1 << 15, 1 << 15, 0]);
    drop((stream, next));
    assert_eq!(notices[0].error.as_deref(), Some("the collector answered 413"));
}
