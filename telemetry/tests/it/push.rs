//! Metrics at a collector, read by the official definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use mycelium_telemetry::metrics::text::Format;
use mycelium_telemetry::metrics::{Collector as Families, LABEL_SETS};
use mycelium_telemetry::otlp::Resource;
use mycelium_telemetry::push::{OtlpMetrics, PushedNode, Pusher};
use mycelium_telemetry::{Snapshot, Source};
use mycelium_transports::counters::{CounterValue, GaugeValue, LinkValue, PublisherValue, Region};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
};

use crate::collector::{Collector, Request, texts};

const START: u64 = 1_700_000_000_000_000_005;

/// A node with a publisher, a link and the metrics of a service.
fn region() -> Arc<Region> {
    let region = Region::new(1024);
    region.line("topic=swaps publisher=Feed epoch=1").set(PublisherValue::Sent, 7);
    region.line("link=keeper role=reader").set(LinkValue::BytesSent, 900);
    region.line("service=Store metric=orders.stored side=buy").set(CounterValue::Count, u64::MAX);
    let open = region.line("service=Store metric=open");
    open.set(GaugeValue::Value, (-7_i64).cast_unsigned());
    let sizes = region.histogram("service=Store metric=sizes");
    [3, 4, 1000, u64::MAX].into_iter().for_each(|value| sizes.record(value));
    drop(region.histogram("service=Store metric=empty"));
    region.latencies("swaps", "Detector").record(Some(5_000_000));
    region
}

/// A node without services.
struct Node(Arc<Region>);

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

/// Sends the last values of a node.
fn push(settings: OtlpMetrics, region: &Arc<Region>) {
    let node = PushedNode {
        resource: Resource::of_node("main", 7),
        source: Box::new(Node(region.clone())),
        collector: Families::new(),
        line: region.line("exporter=metrics"),
        wall_clock: Box::new(|| UNIX_EPOCH + Duration::from_nanos(START)),
    };
    let open = Pusher::new(settings).unwrap().open(node).unwrap();
    open.stopper().stop();
    open.run(|notice| panic!("{notice}"));
}

/// The last values of a node.
fn received(region: &Arc<Region>) -> Request {
    let collector = Collector::new([]);
    let settings = OtlpMetrics::new(&format!("{}/otlp/v1/metrics", collector.url()));
    let settings = settings.namespace("bandit").header("authorization", "Bearer abc");
    push(settings, region);
    collector.request()
}

fn metrics(request: &Request) -> Vec<Metric> {
    let [resource] = request.metrics().resource_metrics.try_into().unwrap();
    let [scope] = resource.scope_metrics.try_into().unwrap();
    scope.metrics
}

fn metric<'m>(metrics: &'m [Metric], name: &str) -> &'m Metric {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn number(point: &NumberDataPoint) -> i64 {
    match point.value {
        Some(Value::AsInt(value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_node_is_the_resource() {
    let request = received(&region());
    assert_eq!(request.line, "POST /otlp/v1/metrics HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/x-protobuf");
    assert_eq!(request.header("authorization"), "Bearer abc");
    let [of_node] = request.metrics().resource_metrics.try_into().unwrap();
    let attributes = of_node.resource.unwrap().attributes;
    let attributes = texts(&attributes);
    assert_eq!(attributes["service.name"], "main");
    assert_eq!(attributes["service.namespace"], "bandit");
    assert_eq!(attributes["service.instance.id"], "00000000-0000-4000-8000-000000000007");
    assert_eq!(attributes["mycelium.node"], "main");
    assert_eq!(attributes["process.pid"], std::process::id().to_string());
    assert_eq!(of_node.scope_metrics[0].scope.as_ref().unwrap().name, "mycelium");
}

#[test]
fn counters_are_cumulative_monotonic_sums_and_gauges_have_no_start() {
    let metrics = metrics(&received(&region()));
    let sent = metric(&metrics, "mycelium_messages_sent");
    assert_eq!((&*sent.description, &*sent.unit), ("Messages that the publisher has sent.", ""));
    let Some(Data::Sum(sum)) = &sent.data else { panic!("{sent:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
    let [point] = &*sum.data_points else { panic!("{sum:?}") };
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (START, START));
    assert_eq!((number(point), point.flags), (7, 0));
    let expected = [("node", "main"), ("publisher", "Feed"), ("topic", "swaps")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(texts(&point.attributes), BTreeMap::from(expected));
    assert_eq!(metric(&metrics, "mycelium_link_sent_bytes").unit, "By");
    // A sum is an `int64` there.
    let Some(Data::Sum(sum)) = &metric(&metrics, "orders_stored").data else { panic!() };
    assert_eq!(number(&sum.data_points[0]), i64::MAX);
    let Some(Data::Gauge(gauge)) = &metric(&metrics, "open").data else { panic!() };
    let [point] = &*gauge.data_points else { panic!("{gauge:?}") };
    assert_eq!((number(point), point.start_time_unix_nano, point.time_unix_nano), (-7, 0, START));
}

#[test]
fn histograms_have_explicit_bounds_and_their_least_and_greatest_values() {
    let metrics = metrics(&received(&region()));
    let points = |name: &str| -> HistogramDataPoint {
        let Some(Data::Histogram(histogram)) = &metric(&metrics, name).data else { panic!() };
        assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
        let [point] = &*histogram.data_points else { panic!("{histogram:?}") };
        point.clone()
    };
    let sizes = points("sizes");
    assert_eq!((sizes.start_time_unix_nano, sizes.time_unix_nano), (START, START));
    assert_eq!((sizes.bucket_counts.len(), sizes.explicit_bounds.len()), (65, 64));
    assert!(sizes.explicit_bounds.is_sorted_by(|a, b| a < b));
    assert_eq!(sizes.explicit_bounds[..4], [0.0, 1.0, 3.0, 7.0]);
    let filled = sizes.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0);
    // 3 is at most 3, 4 at most 7, 1000 at most 1023, the last one over all bounds.
    assert_eq!(filled.collect::<Vec<_>>(), [(2, &1), (3, &1), (10, &1), (64, &1)]);
    assert_eq!((sizes.count, sizes.sum), (4, Some(1006.0)), "the sum wraps");
    assert_eq!((sizes.min, sizes.max), (Some(3.0), Some(u64::MAX as f64)));
    // Latencies are measured in nanoseconds, and shown in seconds.
    assert_eq!(metric(&metrics, "mycelium_message_latency_seconds").unit, "s");
    let latency = points("mycelium_message_latency_seconds");
    assert_eq!((latency.count, latency.sum, latency.min), (1, Some(0.005), Some(0.005)));
    assert_eq!(latency.explicit_bounds[..3], [0.0, 1e-9, 3e-9]);
    let empty = points("empty");
    assert_eq!((empty.count, empty.sum, empty.min, empty.max), (0, Some(0.0), None, None));
}

/// The samples of a request, as Prometheus names them, with their values.
fn as_text(metrics: &[Metric]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut add = |name: &str, labels: &[KeyValue], bound: Option<String>, value: String| {
        let texts = texts(labels);
        let labels = labels.iter().map(|pair| (&*pair.key, texts[&pair.key].clone()));
        let labels = labels.chain(bound.map(|bound| ("le", bound)));
        let labels: Vec<_> = labels.map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        assert!(lines.insert(format!("{name}{{{}}} {value}", labels.join(","))), "{name} is once");
    };
    for Metric { name, data, .. } in metrics {
        match data.as_ref().expect("data") {
            Data::Sum(sum) => sum.data_points.iter().for_each(|point| {
                add(&format!("{name}_total"), &point.attributes, None, number(point).to_string());
            }),
            Data::Gauge(gauge) => gauge.data_points.iter().for_each(|point| {
                add(name, &point.attributes, None, number(point).to_string());
            }),
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let labels = &point.attributes;
                    let mut all = 0;
                    let bounds = point.explicit_bounds.iter().map(|bound| format!("{bound:?}"));
                    let bounds = bounds.chain(["+Inf".to_owned()]);
                    for (count, bound) in point.bucket_counts.iter().zip(bounds) {
                        all += count;
                        add(&format!("{name}_bucket"), labels, Some(bound), all.to_string());
                    }
                    add(&format!("{name}_count"), labels, None, point.count.to_string());
                    let sum = point.sum.expect("a sum").to_string();
                    add(&format!("{name}_sum"), labels, None, sum);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    lines
}

#[test]
fn a_collector_gets_the_families_that_prometheus_gets() {
    let region = region();
    // More sets of labels than have series of their own, in several requests.
    let lines: Vec<_> = (0..LABEL_SETS + 500)
        .map(|number| {
            let line = region.line(&format!("topic=swaps publisher=p{number} epoch=1"));
            line.set(PublisherValue::Sent, number as u64);
            line
        })
        .collect();
    let collector = Collector::new([]);
    let snapshot = Node(region.clone()).snapshot().unwrap();
    push(OtlpMetrics::new(&collector.url()), &region);
    let requests = collector.rest();
    assert!(requests.len() > 4, "{} requests", requests.len());
    let sent: BTreeSet<String> =
        requests.iter().flat_map(|request| as_text(&metrics(request))).collect();
    let text = Format::OpenMetrics.write(&Families::new().collect(&snapshot));
    let is_same = |line: &&str| {
        // The counts of the pusher itself, a counter beyond an `int64`, and the last bounds, for
        // which there are none in OTLP.
        let differs = [
            "exporter=\"metrics\"",
            "orders_stored",
            "le=\"1.8446744073709552e19\"",
            "le=\"18446744073.709553\"",
        ];
        !line.starts_with('#') && !differs.iter().any(|it| line.contains(it))
    };
    let shown: BTreeSet<String> = text.lines().filter(is_same).map(str::to_owned).collect();
    let sent: BTreeSet<String> =
        sent.iter().map(String::as_str).filter(is_same).map(str::to_owned).collect();
    assert!(shown.len() > 4 * LABEL_SETS);
    assert_eq!(sent.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(shown.difference(&sent).collect::<Vec<_>>(), Vec::<&String>::new());
    drop(lines);
}
