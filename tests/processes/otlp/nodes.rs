//! Traces of one node.

use mycelium::Topology;
use mycelium::counters::Kind;
use mycelium::trace::OtlpTraces;
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;

use super::collector::Collector;
use super::services::{TRACES, line, pipeline};
use super::trees::{check, found};
use crate::executors::on_each_executor;

async fn on(executor: impl Executor) {
    let collector = Collector::new([]);
    let node = pipeline("main", TRACES).otlp(OtlpTraces::new(&collector.url())).build().unwrap();
    let report = node.start(executor).unwrap().join().await.unwrap();
    // The node has sent everything at its end.
    check(&found(&collector.rest()));
    let line = line(&report, Kind::Exporter);
    assert_eq!(line.label("exporter"), "traces");
    assert_eq!(line.value("exported"), 4 * TRACES as u64);
    assert_eq!((line.value("dropped_full"), line.value("dropped_failed")), (0, 0));
}

#[test]
fn a_trace_goes_through_the_services_of_a_node_on_each_executor() {
    on_each_executor(async |executor, _| on(executor).await);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_node_waits_for_the_collector_in_real_time() {
    on(Tokio::current().unwrap()).await;
}

#[tokio::test]
async fn a_topology_names_the_collector_and_the_share() {
    let collector = Collector::new([]);
    let url = collector.url();
    let text = |keys: &str| format!("[telemetry]\ntraces = \"{url}/otlp\"\n{keys}");
    let run = async |text: String| {
        let topology = Topology::parse("app.toml", &text).unwrap();
        // The program's settings count if the file has none.
        let of_program =
            OtlpTraces::new("http://203.0.113.7:4318").sample(0.0).namespace("program");
        let node = pipeline("main", TRACES).topology(topology).otlp(of_program).build().unwrap();
        node.start(Tokio::current().unwrap()).unwrap().join().await.unwrap()
    };
    let headers = "sample = 1\nheaders = { authorization = \"Bearer abc\" }\nnamespace = \"file\"";
    run(text(headers)).await;
    let requests = collector.rest();
    assert_eq!(requests[0].line, "POST /otlp/v1/traces HTTP/1.1");
    assert_eq!(requests[0].header("authorization"), "Bearer abc");
    let spans = found(&requests);
    check(&spans);
    assert_eq!(spans[0].resource["service.namespace"], "file");
    let report = run(text("")).await;
    assert_eq!((line(&report, Kind::Exporter).value("exported"), collector.rest().len()), (0, 0));
    let report = run(text("sample = 1.0\n[topic.ticks]\ntrace = false\n")).await;
    // The first traced message is emitted by `Work`.
    assert_eq!(line(&report, Kind::Exporter).value("exported"), 3 * TRACES as u64);
    assert_eq!(found(&collector.rest())[0].resource["service.namespace"], "program");
}
