//! A pipeline over two nodes with troubled telemetry: each message still arrives, in order, and
//! each span is counted once. Collectors are away, silent or broken; clients scrape without a
//! pause, and names have no limit; a peer sends traces with invalid ids.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::message;
use mycelium::metrics::OtlpMetrics;
use mycelium::trace::{OtlpTraces, TraceContext};

use super::collector::{Collector, Reply, answer};
use super::metrics;
use super::services::line;
use super::stages::{Ended, MESSAGES, Stages};
use crate::lines::Lines;
use crate::loopback::host;

/// The log lines of all nodes of this process.
static LINES: LazyLock<Lines> = LazyLock::new(|| {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.subscriber()).expect("the first");
    lines
});

/// Returns the log lines of one node about one signal.
fn about(node: &str, signal: &str) -> Vec<String> {
    static ALL: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let node = format!("node=\"{node}\" ");
    let mut lines = ALL.lock().unwrap();
    lines.extend(LINES.take());
    lines.iter().filter(|it| it.contains(&node) && it.contains(signal)).cloned().collect()
}

/// Runs the pipeline with this collector and short timeouts, and checks its log lines.
async fn with_collector(name: &'static str, url: &str) -> [Ended; 2] {
    LazyLock::force(&LINES);
    let moment = Duration::from_millis(100);
    let traces = OtlpTraces::new(url).timeout(moment).flush(moment).batch(64).queue(256);
    let metrics = OtlpMetrics::new(url).timeout(moment).flush(moment);
    let both = Stages::new(name)
        .start(|builder| builder.otlp(traces.clone()).otlp_metrics(metrics.clone()));
    let ended = both.end().await;
    for (node, ended) in ["one", "two"].iter().zip(&ended) {
        assert_eq!(ended.spans, 2 * MESSAGES, "each message is sent or handled twice in a node");
        let line = line(&ended.report, Kind::Pusher);
        let pushes: u64 = ["taken", "failed", "refused"].iter().map(|name| line.value(name)).sum();
        assert_eq!(pushes, 1, "the last values");
        // The run takes less than a minute, so the first line comes at once and the rest at the
        // end.
        let node = format!("{node}-{name}");
        for signal in ["traces: ", "metrics: "] {
            let lines = about(&node, signal);
            assert!(lines.len() <= 2, "{lines:?}");
        }
    }
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_while_the_collector_is_away_or_silent() {
    // The silent collector accepts connections, and never reads from them.
    let [away, silent] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [of_away, of_silent] =
        [&away, &silent].map(|it| format!("http://{}", it.local_addr().unwrap()));
    drop(away);
    for (name, url) in [("away", of_away), ("silent", of_silent)] {
        for ended in with_collector(name, &url).await {
            let [exported, _, failed, refused] = ended.spans_by_end();
            assert!((exported, refused) == (0, 0) && failed > 0, "{name}");
            assert_eq!(line(&ended.report, Kind::Pusher).value("failed"), 1, "{name}");
        }
    }
    for signal in ["traces: ", "metrics: "] {
        assert!(!about("one-away", signal).is_empty(), "drops are logged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_while_the_collector_answers_with_errors() {
    // The collector rejects one span, or one point, of each request.
    let partial = answer("200 OK", &[10, 9, 8, 1, 18, 5, b'o', b'l', b'd', b'!', b'!']);
    let replies = [
        answer("503 Busy\r\nretry-after: 0", b""),
        partial,
        answer("400 Bad", b""),
        Reply::Close,
        answer("500 Broken", b"<html>"),
        Reply::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        answer("429 Too Many\r\nretry-after: 0", b""),
        Reply::TakeAndClose,
    ];
    let collector = Collector::new(replies.into_iter().cycle().take(800));
    let mut all = [0; 4];
    for ended in with_collector("errors", &collector.url()).await {
        all.iter_mut().zip(ended.spans_by_end()).for_each(|(all, count)| *all += count);
    }
    let [exported, _, _, refused] = all;
    assert!(exported > 0 && refused > 0, "{all:?}");
    // All exported spans have arrived; a batch that was sent again may have arrived twice.
    let requests = collector.rest();
    let spans = requests.iter().filter(|request| request.line.contains("/v1/traces"));
    assert!(spans.map(|request| request.count() as u64).sum::<u64>() >= exported);
}

#[message(topic = "noise", id = 14)]
struct Noise {
    number: u64,
}

/// Scrapes without a pause until `is_over`. Returns how many responses were complete.
fn scrape(address: SocketAddr, is_over: &AtomicBool) -> u64 {
    let mut scrapes = 0;
    while !is_over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { return scrapes };
        let mut text = String::new();
        let request = b"GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text\r\n\r\n";
        if stream.write_all(request).is_ok() && stream.read_to_string(&mut text).is_ok() {
            scrapes += u64::from(text.ends_with("# EOF\n"));
        }
    }
    scrapes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_while_names_have_no_limit_and_clients_scrape_without_a_pause() {
    // With more lines, places of lines without writers would be used again.
    const NAMES: u64 = 900;
    const MOST: usize = 5;

    let collector = Collector::new([]);
    let pushed = OtlpMetrics::new(&collector.url());
    let traces = OtlpTraces::new(&collector.url()).queue(1 << 16);
    let both = Stages::new("scraped").start(|builder| {
        let address = "127.0.0.1:0".parse().unwrap();
        let builder = builder.otlp_metrics(pushed.clone()).otlp(traces.clone());
        builder.listen_metrics(address).metrics_label_sets(MOST)
    });
    let address = both.one.start_report().metrics_address.expect("an address");
    let is_over = AtomicBool::new(false);
    // This client never reads its response.
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let (scrapes, [one, two]) = thread::scope(|scope| {
        let clients = [(); 3].map(|()| scope.spawn(|| scrape(address, &is_over)));
        for number in 0..NAMES {
            let name = format!("evil\" {number}\n# HELP x");
            let mut publisher = both.one.publisher::<Noise>(&name).unwrap();
            publisher.try_emit(Noise { number }).unwrap();
        }
        let ended =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(both.end()));
        is_over.store(true, Ordering::Relaxed);
        let scrapes: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        (scrapes, ended)
    });
    assert!(scrapes > 0);
    for ended in [&one, &two] {
        assert_eq!(ended.spans_by_end(), [ended.spans, 0, 0, 0], "nothing was in its way");
    }
    // The last push has as many sets as the limit allows, and `other` counts the rest.
    let sums = metrics::sums(&collector.rest(), "one-scraped");
    let sets = sums.iter().filter(|((name, _), _)| name == "mycelium_messages_sent");
    assert_eq!(sets.clone().count(), MOST + 1, "{sums:?}");
    let sent: u64 = sets.map(|(_, value)| value).sum();
    let lines = one.report.counters.iter().filter(|line| line.kind == Kind::Publisher);
    let counted: u64 = lines.map(|line| line.value("sent")).sum();
    assert_eq!((sent, counted), (2 * MESSAGES + NAMES, 2 * MESSAGES + NAMES));
}

/// The byte that is repeated in the trace ids of the test.
const MARK: u8 = 0xab;
/// The number of bytes of a trace id.
const ID: usize = 16;

/// Runs a proxy that makes the trace id of every third message invalid.
fn hostile_peer(listen: &str, target: String) -> Arc<AtomicU64> {
    let listener = TcpListener::bind(listen).unwrap();
    let (invalid, of_peer) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let counted = invalid.clone();
    // The threads end with their connections, or with the process.
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(&target) else { continue };
            let (mut to_far, mut from_near) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || {
                _ = std::io::copy(&mut from_near, &mut to_far);
                _ = to_far.shutdown(Shutdown::Write);
            });
            let (seen, counted) = (of_peer.clone(), counted.clone());
            thread::spawn(move || pass_on(far, near, &seen, &counted));
        }
    });
    invalid
}

/// Passes bytes on, and replaces every third run of marks by zeros.
fn pass_on(mut from: TcpStream, mut to: TcpStream, seen: &AtomicU64, invalid: &AtomicU64) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        bytes.extend(&chunk[..read]);
        let mut place = 0;
        while let Some(next) = bytes.get(place..place + ID) {
            if next.iter().any(|byte| *byte != MARK) {
                place += 1;
                continue;
            }
            if seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
                bytes[place..place + ID].fill(0);
                invalid.fetch_add(1, Ordering::Relaxed);
            }
            place += ID;
        }
        // A run of marks may begin at the end of these bytes.
        let marks = bytes.iter().rev().take(ID - 1).take_while(|byte| **byte == MARK).count();
        let rest = bytes.split_off(bytes.len() - marks);
        if to.write_all(&bytes).is_err() {
            break;
        }
        bytes = rest;
    }
    _ = to.write_all(&bytes);
    _ = to.shutdown(Shutdown::Write);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_while_a_peer_sends_traces_with_invalid_ids() {
    let (own, peer) = (format!("{}:7400", host()), format!("{}:7400", host()));
    let invalid = hostile_peer(&peer, own.clone());
    let collector = Collector::new([]);
    let traces = OtlpTraces::new(&collector.url()).queue(1 << 16);
    let mut stages = Stages::new("hostile");
    stages.transport = "tcp";
    stages.text = format!("address = \"{peer}\"\nlisten = \"{own}\"\n");
    stages.trace = Some(TraceContext { trace_id: [MARK; ID], span_id: [7; 8], flags: 1 });
    let [one, two] = stages.start(|builder| builder.otlp(traces.clone())).end().await;
    let invalid = invalid.load(Ordering::Relaxed);
    assert_eq!(invalid, MESSAGES.div_ceil(3), "of each third message");
    assert_eq!(line(&two.report, Kind::Link).value("invalid_traces"), invalid);
    for ended in [&one, &two] {
        assert_eq!(ended.spans_by_end(), [ended.spans, 0, 0, 0]);
    }
    // A message with an invalid trace is not traced, and neither is the message that follows from
    // it.
    assert_eq!((one.spans, two.spans), (MESSAGES, 2 * (MESSAGES - invalid)));
    let spans = super::trees::found(&collector.rest());
    let of_trace = |service: &str| {
        let found = spans.iter().filter(|found| found.resource["service.name"] == service);
        found.filter(|found| found.span.trace_id == [MARK; ID]).count() as u64
    };
    assert_eq!(of_trace("Work"), MESSAGES);
    assert_eq!((of_trace("Store"), of_trace("Audit")), (MESSAGES - invalid, MESSAGES - invalid));
}
