//! Encodes families as requests, each an `ExportMetricsServiceRequest` of OTLP 1.

use hyper::body::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use prost::Message;

use crate::metrics::{Buckets, Family, FamilyKind, Sample, SampleValue};
use crate::otlp::Resource;
use crate::otlp::common::{scope, text};

/// The largest number of data points in a request. Labels have at most some hundred bytes, and a
/// histogram has 65 buckets, so a request has at most about 1.5 MB.
const MOST_POINTS: usize = 1_000;
/// Values count from the start of the node.
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// The times of data points, in nanoseconds of Unix time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The time from which the node counts.
    pub(super) start: u64,
    pub(super) now: u64,
}

/// The requests of one push.
pub(super) struct Requests<'a> {
    /// The families that are not encoded yet.
    families: &'a [Family],
    /// The number of encoded samples of the first of these families.
    written: usize,
    times: Times,
    resource: &'a Resource,
    namespace: Option<&'a str>,
}

impl<'a> Requests<'a> {
    pub(super) fn new(
        families: &'a [Family],
        times: Times,
        resource: &'a Resource,
        namespace: Option<&'a str>,
    ) -> Requests<'a> {
        Requests { families, written: 0, times, resource, namespace }
    }

    /// Returns the next request, and the number of its data points; `None` after the last one.
    pub(super) fn next(&mut self) -> Option<(Bytes, u64)> {
        let (mut points, mut metrics) = (0, Vec::new());
        while let Some((family, samples)) = self.take(MOST_POINTS - points) {
            points += samples.len();
            metrics.push(metric(family, samples, self.times));
        }
        let (scope, resource) = (Some(scope()), self.resource);
        let resource = Some(resource.message(&resource.node, self.namespace));
        let scope_metrics = vec![ScopeMetrics { scope, metrics, ..ScopeMetrics::default() }];
        let of_node = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![of_node] };
        (points > 0).then(|| (request.encode_to_vec().into(), points as u64))
    }

    /// Returns the next samples of a family, at least one and at most this many.
    fn take(&mut self, most: usize) -> Option<(&'a Family, &'a [Sample])> {
        while let Some((first, others)) = self.families.split_first().filter(|_| most > 0) {
            let rest = &first.samples[self.written..];
            let samples = &rest[..rest.len().min(most)];
            if samples.len() < rest.len() {
                self.written += samples.len();
            } else {
                (self.families, self.written) = (others, 0);
            }
            if !samples.is_empty() {
                return Some((first, samples));
            }
        }
        None
    }
}

fn metric(family: &Family, samples: &[Sample], times: Times) -> Metric {
    let numbers = || samples.iter().filter_map(|sample| number(sample, times)).collect();
    let data = match family.kind {
        FamilyKind::Gauge => Data::Gauge(Gauge { data_points: numbers() }),
        FamilyKind::Counter => Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        FamilyKind::Histogram => Data::Histogram(Histogram {
            data_points: samples.iter().filter_map(|sample| histogram(sample, times)).collect(),
            aggregation_temporality: CUMULATIVE,
        }),
    };
    Metric {
        name: family.name.clone().into_owned(),
        description: family.help.clone().into_owned(),
        unit: family.unit.map_or("", ucum).to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// Returns a unit in OpenTelemetry's form, the Unified Code for Units of Measure.
fn ucum(unit: &str) -> &str {
    match unit {
        "bytes" => "By",
        "seconds" => "s",
        other => other,
    }
}

/// Returns the data point of a counter or a gauge. A gauge has no start time, because it is the
/// value of one moment.
fn number(sample: &Sample, times: Times) -> Option<NumberDataPoint> {
    let (start_time_unix_nano, value) = match sample.value {
        SampleValue::Counter(count) => (times.start, i64::try_from(count).unwrap_or(i64::MAX)),
        SampleValue::Gauge(value) => (0, value),
        SampleValue::Histogram(_) => return None,
    };
    Some(NumberDataPoint {
        attributes: sample.labels().map(|(key, value)| text(key, value)).collect(),
        start_time_unix_nano,
        time_unix_nano: times.now,
        value: Some(Value::AsInt(value)),
        ..NumberDataPoint::default()
    })
}

/// Returns the data point of a histogram. In OTLP the last bucket has no bound, and the count is
/// the sum of all buckets.
fn histogram(sample: &Sample, times: Times) -> Option<HistogramDataPoint> {
    let SampleValue::Histogram(buckets) = &sample.value else { return None };
    let mut count = 0;
    let counts = buckets.cumulative().map(|(_, all)| {
        let of_bucket = all.wrapping_sub(count);
        count = all;
        of_bucket
    });
    let bucket_counts: Vec<u64> = counts.collect();
    let bounds = buckets.cumulative().map(|(bound, _)| buckets.in_unit(bound));
    let range = buckets.range.filter(|_| count > 0);
    Some(HistogramDataPoint {
        attributes: sample.labels().map(|(key, value)| text(key, value)).collect(),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count,
        sum: Some(buckets.in_unit(buckets.sum)),
        explicit_bounds: bounds.take(Buckets::COUNT - 1).collect(),
        bucket_counts,
        min: range.map(|(least, _)| buckets.in_unit(least)),
        max: range.map(|(_, most)| buckets.in_unit(most)),
        ..HistogramDataPoint::default()
    })
}
