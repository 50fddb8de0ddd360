//! Collectors that are away, slow or broken: services continue, and the end of a node is in time.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use mycelium::testing::ServiceTest;
use mycelium::{BuildError, Execution, OtlpTraces, Report};
use mycelium_tokio::Tokio;

use super::collector::{Collector, Reply};
use super::nodes::exporter;
use super::services::pipeline;

const MESSAGES: usize = 2000;

async fn run(traces: OtlpTraces) -> Report {
    let node = pipeline("main", MESSAGES).otlp(traces).build().unwrap();
    node.start(Tokio::current().unwrap()).unwrap().join().await.unwrap()
}

/// Each span that was recorded was exported or dropped, and counted once.
fn all_counted(report: &Report) -> [u64; 3] {
    let line = exporter(report);
    let counts = ["exported", "dropped_full", "dropped_failed"].map(|name| line.value(name));
    assert_eq!(counts.iter().sum::<u64>(), 4 * MESSAGES as u64);
    counts
}

#[tokio::test]
async fn a_collector_that_is_away_does_not_hold_up_services_or_the_end() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = run(OtlpTraces::new(&format!("http://{address}"))).await;
    let [exported, full, failed] = all_counted(&report);
    assert!(exported == 0 && full > 0 && failed > 0);
}

#[tokio::test]
async fn a_collector_that_accepts_and_is_silent_holds_up_the_end_for_its_time_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let flush = Duration::from_millis(100);
    let report = run(OtlpTraces::new(&url).timeout(Duration::from_secs(3600)).flush(flush)).await;
    assert_eq!(all_counted(&report)[0], 0);
}

#[tokio::test]
async fn a_collector_that_closes_connections_gets_the_spans_again() {
    let collector = Collector::new([Reply::Close, Reply::TakeAndClose]);
    let report = run(OtlpTraces::new(&collector.url()).queue(1 << 16)).await;
    assert!(collector.has_answered());
    assert_eq!(all_counted(&report)[1..], [0, 0]);
    assert_eq!(exporter(&report).value("errors"), 1);
}

#[tokio::test]
async fn a_node_that_does_not_start_sends_nothing_and_leaves_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let traces = OtlpTraces::new(&format!("http://{address}"));
    let builder =
        pipeline("main", 1).otlp(traces).execution("Work", Execution::pinned([usize::MAX]));
    builder.build().unwrap().start(Tokio::current().unwrap()).unwrap_err();
    drop(pipeline("main", 1).otlp(OtlpTraces::new(&format!("http://{address}"))).build().unwrap());
    assert_nobody_connected(&listener);
}

#[test]
fn a_service_test_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let traces = OtlpTraces::new(&format!("http://{address}"));
    let mut test = ServiceTest::of(pipeline("main", 3).otlp(traces));
    test.run();
    test.finish().unwrap();
    assert_nobody_connected(&listener);
}

pub(crate) fn assert_nobody_connected(listener: &TcpListener) {
    let probe = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (_, peer) = listener.accept().unwrap();
    assert_eq!(peer, probe.local_addr().unwrap(), "the first connection is that of the test");
}

#[test]
fn what_the_program_sets_is_checked_when_the_node_is_built() {
    let error = |traces| match pipeline("main", 1).otlp(traces).build() {
        Err(BuildError::Otlp(error)) => BuildError::from(error).to_string(),
        other => panic!("{other:?}"),
    };
    let new = || OtlpTraces::new("http://127.0.0.1:4318");
    assert_eq!(
        error(OtlpTraces::new("http://collector")),
        "`Builder::otlp`: invalid URL of a collector `http://collector`: expected a port after the \
         host, as in `http://127.0.0.1:4318` [M0380]"
    );
    assert_eq!(
        error(new().header("authorization", "Bearer a\nb")),
        "`Builder::otlp`: invalid header `authorization`: expected a value of ASCII letters, on one \
         line [M0381]"
    );
    assert_eq!(
        error(new().timeout(Duration::ZERO)),
        "`Builder::otlp`: invalid timeout of a batch of spans: expected more than 0 s [M0382]"
    );
    assert_eq!(
        error(new().batch(1 << 13)),
        "`Builder::otlp`: invalid batch of 8192 spans: expected 1 to 4096, the places of the queue [M0384]"
    );
    assert!(error(new().queue(0)).contains("expected room for 1 to 1,048,576"));
    let share = pipeline("main", 1).otlp(new().sample(10.0)).build().unwrap_err();
    let expected =
        "invalid share 10 of the traces to record: expected a number from 0 to 1 [M0010]";
    assert_eq!(share.to_string(), expected);
}
