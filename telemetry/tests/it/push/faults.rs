//! Collectors that are away, slow or broken.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, UNIX_EPOCH};

use mycelium_telemetry::metrics::Collector as Families;
use mycelium_telemetry::otlp::Resource;
use mycelium_telemetry::push::{OtlpMetrics, PushNotice, PushedNode, Pusher, PusherStopper};
use mycelium_telemetry::{Snapshot, Source};
use mycelium_transports::counters::{Reading, Region};

use crate::collector::{Collector, Reply, answer};

/// A node without services.
pub(crate) struct Node(pub(crate) Arc<Region>);

impl Source for Node {
    fn snapshot(&self) -> Option<Snapshot> {
        let (node, readings) = ("main".to_owned(), self.0.read());
        Some(Snapshot { node, readings, unseen: self.0.unseen(), ..Snapshot::default() })
    }

    fn live(&self) -> Result<String, String> {
        unreachable!("metrics only")
    }

    fn ready(&self) -> Result<String, String> {
        unreachable!("metrics only")
    }
}

/// A pusher on its thread.
pub(crate) struct Running {
    stopper: PusherStopper,
    thread: JoinHandle<Vec<PushNotice>>,
    region: Arc<Region>,
}

impl Running {
    pub(crate) fn start(settings: OtlpMetrics, region: &Arc<Region>) -> Running {
        let start = Duration::new(1_700_000_000, 5);
        let node = PushedNode {
            resource: Resource::of_node("main", 7),
            source: Box::new(Node(region.clone())),
            collector: Families::new(),
            line: region.line("exporter=metrics"),
            wall_clock: Box::new(move || UNIX_EPOCH + start),
        };
        let open = Pusher::new(settings).unwrap().open(node).unwrap();
        let stopper = open.stopper();
        let thread = thread::spawn(move || {
            let mut notices = Vec::new();
            open.run(|notice| notices.push(notice.clone()));
            notices
        });
        Running { stopper, thread, region: region.clone() }
    }

    /// Ends the pusher. Its thread has ended then.
    pub(crate) fn end(self) -> (Reading, Vec<PushNotice>) {
        self.stopper.stop();
        let notices = self.thread.join().unwrap();
        let mut readings = self.region.read().into_iter();
        let line = readings.find(|line| line.label("exporter") == "metrics");
        (line.unwrap(), notices)
    }
}

fn start(url: &str) -> Running {
    Running::start(OtlpMetrics::new(url), &Region::new(16))
}

/// Pushes: taken, failed, refused.
fn pushes(reading: &Reading) -> [u64; 3] {
    ["taken", "failed", "refused"].map(|name| reading.value(name))
}

#[test]
fn values_are_pushed_at_each_interval_and_at_the_end_on_one_connection() {
    let collector = Collector::new([]);
    let settings = OtlpMetrics::new(&collector.url()).interval(OtlpMetrics::SHORTEST_INTERVAL);
    let running = Running::start(settings, &Region::new(16));
    for _ in 0..2 {
        let request = collector.request();
        assert_eq!((&*request.line, request.connection), ("POST /v1/metrics HTTP/1.1", 0));
    }
    let (reading, notices) = running.end();
    let [taken, failed, refused] = pushes(&reading);
    assert!(taken >= 3 && failed == 0 && refused == 0 && notices.is_empty(), "{reading:?}");
    let rest = collector.rest();
    assert_eq!(rest.len() as u64, taken - 2);
    assert!(rest.iter().all(|request| request.connection == 0) && reading.value("points") > 0);
}

#[test]
fn errors_are_counted() {
    for (reply, expected, text) in [
        (answer("503 Busy", b""), [0, 1, 0], "the collector answered 503"),
        (answer("500 Broken", b""), [0, 1, 0], "the collector answered 500"),
        (answer("404 Not Found", b"<html>"), [0, 0, 1], "the collector answered 404"),
        // `partial_success`: a point was rejected.
        (answer("200 OK", &[10, 9, 8, 1, 18, 5, b'o', b'l', b'd', b'!', b'!']), [0, 0, 1], "old!!"),
        // A warning.
        (answer("200 OK", &[10, 7, 18, 5, b'o', b'l', b'd', b'!', b'!']), [1, 0, 0], "old!!"),
        (Reply::Close, [0, 1, 0], "the collector closed the connection before it answered"),
        (Reply::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), [0, 1, 0], "is not HTTP"),
    ] {
        let collector = Collector::new([reply.clone()]);
        let (reading, notices) = start(&collector.url()).end();
        assert_eq!(pushes(&reading), expected, "{reply:?}");
        let error = notices[0].error.as_deref().unwrap_or_default();
        assert!(error.contains(text) && notices.len() == 1, "{reply:?}: {notices:?}");
    }
}

#[test]
fn a_collector_that_is_away_is_tried_once_at_the_end() {
    // The port is free: nobody listens.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (reading, notices) = start(&format!("http://{address}")).end();
    assert_eq!((pushes(&reading), notices.len()), ([0, 1, 0], 1));
    let error = notices[0].error.as_deref().unwrap_or_default();
    assert!(error.starts_with("cannot reach the collector: "), "{error}");
}

#[test]
fn a_collector_that_never_answers_has_the_time_of_a_request_or_of_the_end() {
    let settings = |collector: &Collector| {
        OtlpMetrics::new(&collector.url()).interval(OtlpMetrics::SHORTEST_INTERVAL)
    };
    let (hour, moment) = (Duration::from_secs(3600), Duration::from_millis(50));
    // The time of the end: a request in progress is ended, which had an hour.
    let collector = Collector::new([Reply::Never]);
    let of_end = settings(&collector).timeout(hour).flush(moment);
    let running = Running::start(of_end, &Region::new(16));
    collector.request();
    assert_eq!(pushes(&running.end().0), [0, 1, 0]);
    // The time of a request: the next push gets through.
    let collector = Collector::new([Reply::Never]);
    let running = Running::start(settings(&collector).timeout(moment), &Region::new(16));
    collector.request();
    assert_eq!(collector.request().connection, 1);
    assert_eq!(pushes(&running.end().0)[1..], [1, 0]);
}
