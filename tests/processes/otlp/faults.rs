//! Nodes that do not run send nothing, and the program's settings are checked. `pressed` tests
//! collectors that are away, silent or broken.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use mycelium::error::BuildError;
use mycelium::execution::Execution;
use mycelium::metrics::OtlpMetrics;
use mycelium::testing::ServiceTest;
use mycelium::trace::OtlpTraces;
use mycelium_tokio::Tokio;

use super::services::pipeline;

#[tokio::test]
async fn a_node_that_does_not_run_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let builder =
        || pipeline("main", 3).otlp(OtlpTraces::new(&url)).otlp_metrics(OtlpMetrics::new(&url));
    let pinned = builder().execution("Work", Execution::pinned([usize::MAX]));
    pinned.build().unwrap().start(Tokio::current().unwrap()).unwrap_err();
    drop(builder().build().unwrap());
    let mut test = ServiceTest::of(builder());
    test.run();
    test.finish().unwrap();
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
    let url = "URL of a collector `http://collector`: expected a port after the host, as in \
               `http://127.0.0.1:4318` [M0380]";
    let header = "header `authorization`: expected a value of ASCII letters, on one line [M0381]";
    let timeout = "timeout of a batch of spans: expected more than 0 s [M0382]";
    let batch = "batch of 8192 spans: expected 1 to 4096, the places of the queue [M0384]";
    for (traces, expected) in [
        (OtlpTraces::new("http://collector"), url),
        (new().header("authorization", "Bearer a\nb"), header),
        (new().timeout(Duration::ZERO), timeout),
        (new().batch(1 << 13), batch),
    ] {
        assert_eq!(error(traces), format!("`Builder::otlp`: invalid {expected}"));
    }
    assert!(error(new().queue(0)).contains("expected room for 1 to 1,048,576"));
    let share = pipeline("main", 1).otlp(new().sample(10.0)).build().unwrap_err();
    let expected =
        "invalid share 10 of the traces to record: expected a number from 0 to 1 [M0010]";
    assert_eq!(share.to_string(), expected);
}
