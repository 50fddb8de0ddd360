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

use super::collector::{Collector, Reply, answer};

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
    Running::start(OtlpMetrics::new(url).interval(Duration::from_secs(3600)), &Region::new(16))
}

/// Pushes: taken, failed, refused.
fn pushes(reading: &Reading) -> [u64; 3] {
    ["taken", "failed", "refused"].map(|name| reading.value(name))
}

#[test]
fn the_first_and_the_last_values_are_pushed_on_one_connection() {
    let collector = Collector::new([]);
    let running = start(&collector.url());
    assert_eq!(collector.request().line, "POST /v1/metrics HTTP/1.1");
    let (reading, notices) = running.end();
    assert_eq!((pushes(&reading), notices.len()), ([2, 0, 0], 0));
    assert_eq!(collector.request().connection, 0);
    assert!(reading.value("points") > 0 && collector.rest().is_empty());
}

#[test]
fn errors_are_counted_and_the_next_push_is_another_one() {
    for (reply, expected, text) in [
        (answer("503 Busy", b""), [1, 1, 0], "the collector answered 503"),
        (answer("404 Not Found", b"<html>"), [1, 0, 1], "the collector answered 404"),
        // `partial_success`: a point was rejected.
        (answer("200 OK", &[10, 9, 8, 1, 18, 5, b'o', b'l', b'd', b'!', b'!']), [1, 0, 1], "old!!"),
        // A warning.
        (answer("200 OK", &[10, 7, 18, 5, b'o', b'l', b'd', b'!', b'!']), [2, 0, 0], "old!!"),
        (Reply::Close, [1, 1, 0], "the collector closed the connection before it answered"),
        (Reply::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), [1, 1, 0], "is not HTTP"),
    ] {
        let collector = Collector::new([reply.clone()]);
        let running = start(&collector.url());
        collector.request();
        let (reading, notices) = running.end();
        assert_eq!(pushes(&reading), expected, "{reply:?}");
        let error = notices[0].error.as_deref().unwrap_or_default();
        assert!(error.contains(text) && notices.len() == 1, "{reply:?}: {notices:?}");
    }
}

#[test]
fn a_collector_that_is_away_is_not_waited_for_at_the_end() {
    // The port is free: nobody listens.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (reading, notices) = start(&format!("http://{address}")).end();
    let [taken, failed, refused] = pushes(&reading);
    // The end may come before the first push.
    assert!(taken == 0 && refused == 0 && (1..=2).contains(&failed), "{reading:?}");
    assert_eq!(notices.iter().map(|notice| notice.failed).sum::<u64>(), failed);
    let error = notices[0].error.as_deref().unwrap_or_default();
    assert!(error.starts_with("cannot reach the collector: "), "{error}");
}

#[test]
fn a_collector_that_never_answers_has_the_time_of_a_request_or_of_the_end() {
    let hour = Duration::from_secs(3600);
    let settings = |collector: &Collector| OtlpMetrics::new(&collector.url()).interval(hour);
    // The time of the end: a request in progress is ended, which had an hour.
    let collector = Collector::new([Reply::Never]);
    let flush = Duration::from_millis(50);
    let of_end = settings(&collector).timeout(hour).flush(flush);
    let running = Running::start(of_end, &Region::new(16));
    collector.request();
    assert_eq!(pushes(&running.end().0), [0, 1, 0]);
    // The time of a request: the last push gets through.
    let collector = Collector::new([Reply::Never]);
    let of_request = settings(&collector).timeout(Duration::from_millis(50)).flush(hour);
    let running = Running::start(of_request, &Region::new(16));
    collector.request();
    assert_eq!(pushes(&running.end().0), [1, 1, 0]);
    assert_eq!(collector.request().connection, 1);
}
