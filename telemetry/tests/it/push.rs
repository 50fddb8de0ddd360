//! Metrics at a collector, read by the official definitions.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use mycelium_telemetry::metrics::Collector as Families;
use mycelium_telemetry::otlp::Resource;
use mycelium_telemetry::push::{OtlpMetrics, PushedNode, Pusher};
use mycelium_transports::counters::{CounterValue, GaugeValue, LinkValue, PublisherValue, Region};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
};

use crate::collector::{Collector, texts};
use crate::{attributes, snapshot};

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

/// The last values of a node, as a collector gets them.
fn metrics() -> Vec<Metric> {
    let (collector, region) = (Collector::new([]), region());
    let of_node = region.clone();
    let node = PushedNode {
        resource: Resource::of_node("main", 7),
        snapshot: Box::new(move || Some(snapshot(&of_node))),
        collector: Families::new(),
        line: region.line("exporter=metrics"),
        wall_clock: Box::new(|| UNIX_EPOCH + Duration::from_nanos(START)),
    };
    let pusher = Pusher::new(OtlpMetrics::new(&collector.url())).unwrap();
    let (stopper, run) = pusher.open(node, |notice| panic!("{notice}")).unwrap();
    stopper.stop();
    run();
    let [resource] = collector.request().metrics().resource_metrics.try_into().unwrap();
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
fn counters_are_cumulative_monotonic_sums_and_gauges_have_no_start() {
    let metrics = metrics();
    let sent = metric(&metrics, "mycelium_messages_sent");
    assert_eq!((&*sent.description, &*sent.unit), ("Messages that the publisher has sent.", ""));
    let Some(Data::Sum(sum)) = &sent.data else { panic!("{sent:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
    let [point] = &*sum.data_points else { panic!("{sum:?}") };
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (START, START));
    assert_eq!((number(point), point.flags), (7, 0));
    let expected = attributes([("node", "main"), ("publisher", "Feed"), ("topic", "swaps")]);
    assert_eq!(texts(&point.attributes), expected);
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
    let metrics = metrics();
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
