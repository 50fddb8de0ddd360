//! Metrics of nodes that are pushed to a collector.

use std::collections::BTreeMap;
use std::time::Duration;

use mycelium::Topology;
use mycelium::counters::Kind;
use mycelium::error::BuildError;
use mycelium::metrics::OtlpMetrics;
use mycelium::observe::Report;
use mycelium::trace::OtlpTraces;
use mycelium_tokio::Tokio;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use super::collector::{Collector, Request, texts};
use super::services::{TRACES, line, pipeline};
use crate::executors::on_each_executor;

/// Returns the last value of each counter of a node at the collector, by its name and labels.
pub(crate) fn sums(requests: &[Request], node: &str) -> BTreeMap<(String, Vec<String>), u64> {
    let mut sums = BTreeMap::new();
    let requests = requests.iter().filter(|request| request.line.contains("/v1/metrics"));
    for request in requests {
        let resources = request.metrics().resource_metrics;
        let scopes = resources.into_iter().flat_map(|resource| resource.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            let Some(Data::Sum(sum)) = metric.data else { continue };
            for point in sum.data_points {
                let Some(Value::AsInt(value)) = point.value else { panic!("{point:?}") };
                let labels = texts(&point.attributes);
                if labels["node"] != node {
                    continue;
                }
                let labels = ["topic", "publisher", "reader", "service", "reason", "outcome"]
                    .map(|key| labels.get(key).cloned().unwrap_or_default());
                sums.insert((metric.name.clone(), labels.to_vec()), value.cast_unsigned());
            }
        }
    }
    sums
}

/// Returns the counters of a report under the names of the metrics.
fn counters(report: &Report) -> BTreeMap<(String, Vec<String>), u64> {
    let names: &[(Kind, &str, &str, [&str; 2])] = &[
        (Kind::Publisher, "sent", "messages_sent", ["", ""]),
        (Kind::Publisher, "no_subscribers", "messages_without_subscribers", ["", ""]),
        (Kind::Publisher, "waited", "emits_waited", ["", ""]),
        (Kind::Edge, "taken", "messages_received", ["", ""]),
        (Kind::Edge, "overwritten", "messages_dropped", ["overwritten", ""]),
        (Kind::Edge, "left", "messages_dropped", ["left", ""]),
        (Kind::Service, "starts", "service_starts", ["", ""]),
    ];
    let mut all = BTreeMap::new();
    for line in &report.counters {
        for (_, value, name, fixed) in names.iter().filter(|(kind, ..)| *kind == line.kind) {
            assert!(line.kind.values().contains(value), "{value}");
            let labels = ["topic", "publisher", "reader", "service"].map(|key| line.label(key));
            let labels = labels.into_iter().chain(*fixed).map(str::to_owned).collect();
            *all.entry((format!("mycelium_{name}"), labels)).or_default() += line.value(value);
        }
    }
    all
}

#[test]
fn the_last_values_of_a_node_are_those_of_its_report() {
    on_each_executor(async |executor, _| {
        let collector = Collector::new([]);
        let metrics = OtlpMetrics::new(&collector.url()).interval(Duration::from_secs(3600));
        let node = pipeline("main", 1000).otlp_metrics(metrics).build().unwrap();
        let report = node.start(executor).unwrap().join().await.unwrap();
        // The node has sent the last values at its end.
        let requests = collector.rest();
        let (sums, counters) = (sums(&requests, "main"), counters(&report));
        assert!(counters.len() > 20, "{counters:?}");
        for (key, count) in &counters {
            assert_eq!(sums.get(key), Some(count), "{key:?}");
        }
        let sent = ["ticks", "Feed", "", "", "", ""].map(str::to_owned).to_vec();
        assert_eq!(sums[&("mycelium_messages_sent".to_owned(), sent)], 1000);
        let line = line(&report, Kind::Pusher);
        assert_eq!(line.label("exporter"), "metrics");
        assert_eq!(["taken", "failed", "refused"].map(|name| line.value(name)), [1, 0, 0]);
    });
}

#[tokio::test]
async fn a_topology_names_the_collector_and_the_headers() {
    let collector = Collector::new([]);
    let url = collector.url();
    let text = format!(
        "[telemetry]\nmetrics = \"{url}/otlp\"\ntraces = \"{url}\"\ninterval = \"1h\"\n\
         headers = {{ authorization = \"Bearer abc\" }}\nnamespace = \"file\"\nlabel_sets = 2\n"
    );
    let topology = Topology::parse("app.toml", &text).unwrap();
    // The program's setting counts if the file has none.
    let of_program = OtlpMetrics::new("http://203.0.113.7:4318").interval(Duration::from_secs(1));
    let node = pipeline("main", TRACES).topology(topology).otlp_metrics(of_program);
    node.build().unwrap().start(Tokio::current().unwrap()).unwrap().join().await.unwrap();
    let requests = collector.rest();
    let (metrics, traces): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.line == "POST /otlp/v1/metrics HTTP/1.1");
    assert!(metrics.len() == 1 && !traces.is_empty());
    assert!(metrics.iter().all(|request| request.header("authorization") == "Bearer abc"));
    let resource = metrics[0].metrics().resource_metrics[0].resource.clone().unwrap();
    let of_metrics = texts(&resource.attributes);
    let resource = traces[0].spans().resource_spans[0].resource.clone().unwrap();
    let of_spans = texts(&resource.attributes);
    assert_eq!((&*of_metrics["service.name"], &*of_metrics["service.namespace"]), ("main", "file"));
    for key in ["service.instance.id", "mycelium.node", "host.name", "process.pid"] {
        assert_eq!(of_metrics[key], of_spans[key], "spans and metrics are of one start");
    }
    // Of the four services, two have a set of their own, and the rest is `other`.
    let starts =
        sums(&requests, "main").into_iter().filter(|((name, _), _)| name.ends_with("_starts"));
    let services: Vec<_> = starts.map(|((_, labels), _)| labels[3].clone()).collect();
    assert!(services.len() == 3 && services.contains(&"other".to_owned()), "{services:?}");
}

#[test]
fn what_the_program_sets_is_checked_when_the_node_is_built() {
    let error = |metrics| match pipeline("main", 1).otlp_metrics(metrics).build() {
        Err(error @ BuildError::OtlpMetrics(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let new = || OtlpMetrics::new("http://127.0.0.1:4318");
    let interval = "`Builder::otlp_metrics`: invalid interval 0ns between pushes of metrics: \
                    expected 1 s or more [M0385]";
    assert_eq!(error(new().interval(Duration::ZERO)), interval);
    assert!(error(new().to("https://a.example:443")).contains("without TLS"));
    // The file's interval is too short for metrics, and valid without them.
    let topology = Topology::parse("app.toml", "[telemetry]\ninterval = \"500ms\"").unwrap();
    let builder = pipeline("main", 1).topology(topology);
    assert!(builder.otlp(OtlpTraces::new("http://127.0.0.1:4318")).build().is_ok());
    let topology = Topology::parse("app.toml", "[telemetry]\ninterval = \"500ms\"").unwrap();
    let error = pipeline("main", 1).topology(topology).otlp_metrics(new()).build().unwrap_err();
    let expected = "app.toml:2:12: invalid interval 500ms: expected 1 s or more, because metrics \
                    are pushed to a collector [M0114]";
    assert_eq!(error.to_string(), expected);
}
