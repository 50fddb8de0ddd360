//! Families as requests: an `ExportMetricsServiceRequest` of OTLP 1 each, whose fields are numbered
//! by `opentelemetry/proto/metrics/v1/metrics.proto`. A test decodes them by the official
//! definitions.

use crate::metrics::{Buckets, Family, FamilyKind, Sample, SampleValue};
use crate::otlp::Resource;
use crate::otlp::common::{Attribute, attribute, scope};
use crate::otlp::protobuf::Message;

/// The most data points of a request. Labels have at most some hundred bytes, and a histogram has
/// 65 buckets, so a request has at most about 1.5 MB.
const MOST_POINTS: usize = 1_000;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// The times of data points, in nanoseconds of Unix time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// From here on the node counts.
    pub(super) start: u64,
    pub(super) now: u64,
}

/// The requests of one push, one after the other.
pub(super) struct Requests<'a> {
    /// Those that are left.
    families: &'a [Family],
    /// How many samples of the first of them were written.
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

    /// Writes the next request over the one before. Returns the number of its data points; none if
    /// all were written.
    pub(super) fn write_next(&mut self, request: &mut Message) -> Option<u64> {
        let (resource, namespace) = (self.resource, self.namespace);
        let mut points = 0;
        request.clear();
        request.message(1, |resource_metrics| {
            resource_metrics.message(1, |it| resource.write(it, &resource.node, namespace));
            resource_metrics.message(2, |scope_metrics| {
                scope_metrics.message(1, scope);
                while let Some((family, samples)) = self.take(MOST_POINTS - points) {
                    points += samples.len();
                    let times = self.times;
                    scope_metrics.message(2, |metric| write_metric(metric, family, samples, times));
                }
            });
        });
        (points > 0).then_some(points as u64)
    }

    /// The next samples of a family, at least one and at most this many.
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

fn write_metric(metric: &mut Message, family: &Family, samples: &[Sample], times: Times) {
    metric.bytes(1, family.name.as_bytes());
    metric.bytes(2, family.help.as_bytes());
    if let Some(unit) = family.unit {
        metric.bytes(3, ucum(unit).as_bytes());
    }
    let points = |data: &mut Message| {
        for sample in samples {
            data.message(1, |point| write_point(point, sample, times));
        }
    };
    match family.kind {
        FamilyKind::Gauge => metric.message(5, points),
        FamilyKind::Counter => metric.message(7, |sum| {
            points(sum);
            sum.number(2, CUMULATIVE);
            // It is monotonic.
            sum.number(3, 1);
        }),
        FamilyKind::Histogram => metric.message(9, |histogram| {
            points(histogram);
            histogram.number(2, CUMULATIVE);
        }),
    }
}

/// A unit as OpenTelemetry writes it, by the Unified Code for Units of Measure.
fn ucum(unit: &str) -> &str {
    match unit {
        "bytes" => "By",
        "seconds" => "s",
        other => other,
    }
}

fn write_point(point: &mut Message, sample: &Sample, times: Times) {
    let of_labels = match &sample.value {
        SampleValue::Counter(_) | SampleValue::Gauge(_) => 7,
        SampleValue::Histogram(_) => 9,
    };
    for (key, value) in sample.labels() {
        attribute(point, of_labels, key, Attribute::Text(value));
    }
    // A gauge has no start: it is the value of one moment.
    match &sample.value {
        SampleValue::Counter(count) => {
            point.fixed64(2, times.start);
            point.fixed64(3, times.now);
            // An `sfixed64` there.
            point.fixed64(6, (*count).min(i64::MAX.cast_unsigned()));
        }
        SampleValue::Gauge(value) => {
            point.fixed64(3, times.now);
            point.fixed64(6, value.cast_unsigned());
        }
        SampleValue::Histogram(buckets) => {
            point.fixed64(2, times.start);
            point.fixed64(3, times.now);
            write_buckets(point, buckets);
        }
    }
}

/// The last bucket has no bound there, and the count is the sum of all buckets.
fn write_buckets(point: &mut Message, buckets: &Buckets) {
    let mut before = 0;
    let counts = buckets.cumulative().map(|(_, all)| {
        let count = all.wrapping_sub(before);
        before = all;
        count
    });
    let counts: Vec<u64> = counts.collect();
    let bounds = buckets.cumulative().map(|(bound, _)| buckets.in_unit(bound).to_bits());
    point.fixed64(4, before);
    point.double(5, buckets.in_unit(buckets.sum()));
    point.packed64(6, counts.iter().copied());
    point.packed64(7, bounds.take(counts.len() - 1));
    if let Some((least, most)) = buckets.range().filter(|_| before > 0) {
        point.double(11, buckets.in_unit(least));
        point.double(12, buckets.in_unit(most));
    }
}
