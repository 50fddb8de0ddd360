//! Collectors that are away, slow or broken.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_telemetry::otlp::Resource;
use mycelium_telemetry::spans::{Exporter, Notice, OtlpTraces, SpanQueue, Stopper};
use mycelium_transports::counters::{Reading, Region};
use mycelium_transports::local::{Span, SpanKind, SpanSink};

use crate::collector::{Collector, Reply, answer};

/// An exporter on its thread.
pub(crate) struct Running {
    pub(crate) queue: SpanQueue,
    stopper: Stopper,
    thread: JoinHandle<Vec<Notice>>,
    region: Arc<Region>,
}

impl Running {
    pub(crate) fn start(settings: OtlpTraces) -> Running {
        let exporter = Exporter::new(settings).unwrap();
        let (queue, region) = (exporter.queue(), Region::new(1));
        let line = region.line("exporter=traces");
        let open = exporter.open(Resource::of_node("main", 7), line, 7).unwrap();
        let stopper = open.stopper();
        let thread = thread::spawn(move || {
            let mut notices = Vec::new();
            open.run(|notice| notices.push(notice.clone()));
            notices
        });
        Running { queue, stopper, thread, region }
    }

    pub(crate) fn record(&self, spans: usize) {
        (0..spans).for_each(|_| self.queue.record(span("Feed")));
    }

    /// Ends the exporter. Its thread has ended then.
    pub(crate) fn end(self) -> (Reading, Vec<Notice>) {
        self.stopper.stop();
        let notices = self.thread.join().unwrap();
        let [reading] = self.region.read().try_into().unwrap();
        (reading, notices)
    }
}

pub(crate) fn span(service: &str) -> Span {
    let context = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    Span::new(context, SpanKind::Root, service, "ticks")
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
fn errors_are_tried_again_or_counted() {
    let status = |message: &str| {
        // `google.rpc.Status`: code and message.
        [&[8, 3, 18, message.len() as u8][..], message.as_bytes()].concat()
    };
    let collector = Collector::new([
        answer("503 Busy\r\nretry-after: 0", b""),
        answer("429 Too Many\r\nretry-after: 0", b""),
        Reply::Take,
        answer("400 Bad", &status("no such\ntenant")),
        // `partial_success`: one span was rejected.
        answer("200 OK", &[10, 9, 8, 1, 18, 5, b'o', b'l', b'd', b'!', b'!']),
        answer("500 Broken", b"<html>"),
        answer("302 Found\r\nlocation: http://127.0.0.1:1/", b""),
    ]);
    let running = Running::start(settings(&collector.url()));
    for _ in 0..3 {
        running.record(2);
        collector.request();
    }
    running.record(4);
    let (reading, notices) = running.end();
    assert!(collector.has_answered());
    assert_eq!(counts(&reading), [3, 0, 2, 5, 2]);
    assert_eq!(reading.value("errors"), 6);
    let texts: Vec<_> = notices.iter().flat_map(|notice| &notice.error).collect();
    assert_eq!(texts.first().unwrap().as_str(), "the collector answered 503");
    assert_eq!(texts.last().unwrap().as_str(), "the collector answered 302");
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
fn a_collector_that_never_answers_has_the_time_of_a_batch_or_of_the_end() {
    let never = || Collector::new([Reply::Never]);
    // The time of a batch: the next one gets through.
    let collector = never();
    let settings_of = |collector: &Collector| settings(&collector.url());
    let running = Running::start(settings_of(&collector).timeout(Duration::from_millis(50)));
    running.record(2);
    collector.request();
    running.record(2);
    assert_eq!(collector.request().connection, 1);
    let (reading, _) = running.end();
    assert_eq!(counts(&reading), [2, 0, 2, 0, 1]);
    // The time of the end: a request in progress is ended, whose batch had an hour.
    let collector = never();
    let hour = Duration::from_secs(3600);
    let flush = Duration::from_millis(50);
    let running = Running::start(settings_of(&collector).timeout(hour).flush(flush));
    running.record(3);
    collector.request();
    let (reading, _) = running.end();
    assert_eq!(counts(&reading), [0, 0, 3, 0, 0]);
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
fn a_collector_that_does_not_read_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = OtlpTraces::new(&url).queue(1 << 16).batch(1 << 16);
    let flush = Duration::from_millis(50);
    let running = Running::start(settings.delay(Duration::ZERO).flush(flush));
    // More than the buffers of the connection.
    running.record(1 << 16);
    let stream: TcpStream = listener.accept().unwrap().0;
    running.record(1 << 17);
    let (reading, _) = running.end();
    let [exported, full, failed, refused, _] = counts(&reading);
    assert_eq!((exported, refused, full + failed), (0, 0, 3 << 16));
    assert!(full >= 1 << 16, "a full queue refuses spans");
    drop(stream);
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

#[test]
fn nothing_is_lost_without_a_count_while_tasks_record() {
    let collector = Collector::new([Reply::Close, answer("503 Busy\r\nretry-after: 0", b"")]);
    let settings = OtlpTraces::new(&collector.url()).queue(256).batch(64).delay(Duration::ZERO);
    let running = Running::start(settings);
    thread::scope(|scope| {
        for _ in 0..4 {
            let queue = running.queue.clone();
            scope.spawn(move || (0..5000).for_each(|_| queue.record(span("Feed"))));
        }
    });
    let (reading, _) = running.end();
    let [exported, full, failed, refused, _] = counts(&reading);
    assert_eq!((exported + full + failed, refused), (20_000, 0));
    let received = collector.rest().iter().map(crate::collector::Request::count).sum::<usize>();
    assert!(received as u64 >= exported && exported > 0);
}
