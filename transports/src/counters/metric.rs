//! The metrics of services, put together from lines.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::buckets::Distribution;
use super::reading::Reading;
use super::values::Kind;

/// A counter, gauge or histogram of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The service.
    pub service: String,
    /// The metric's name.
    pub name: String,
    /// Its labels, in the order in which the service gave them.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: MetricValue,
}

/// The value of a [`Metric`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricValue {
    /// A number that only grows.
    Counter(u64),
    /// A number that goes up and down.
    Gauge(i64),
    /// The distribution of recorded values.
    Histogram(Distribution),
}

impl MetricValue {
    fn of(reading: &Reading) -> Option<MetricValue> {
        Some(match reading.kind {
            Kind::Counter => MetricValue::Counter(reading.value("count")),
            Kind::Gauge => MetricValue::Gauge(reading.value("value").cast_signed()),
            Kind::Buckets if reading.is_of_latency() => return None,
            Kind::Histogram | Kind::Buckets => MetricValue::Histogram(Distribution::of(reading)?),
            Kind::Publisher
            | Kind::Edge
            | Kind::Service
            | Kind::Link
            | Kind::Watchdog
            | Kind::Requester
            | Kind::Responder
            | Kind::Legacy
            | Kind::Exporter
            | Kind::Latency
            | Kind::Pusher
            | Kind::Actor
            | Kind::Node => return None,
        })
    }

    /// Adds another value of the same kind.
    fn add(&mut self, other: &MetricValue) {
        match (self, other) {
            (MetricValue::Counter(count), MetricValue::Counter(other)) => {
                *count = count.wrapping_add(*other);
            }
            (MetricValue::Gauge(value), MetricValue::Gauge(other)) => {
                *value = value.wrapping_add(*other);
            }
            (MetricValue::Histogram(all), MetricValue::Histogram(other)) => all.merge(other),
            (MetricValue::Counter(_) | MetricValue::Gauge(_) | MetricValue::Histogram(_), _) => {}
        }
    }
}

impl Metric {
    /// Returns the metrics among the lines of a region, in the order of their first lines. Lines of
    /// the same metric are added up: each handle of a service has a line.
    #[must_use]
    pub fn of(readings: &[Reading]) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        let mut places: HashMap<_, usize> = HashMap::new();
        for reading in readings {
            let Some(metric) = Metric::of_line(reading) else { continue };
            let (label, kind) = match reading.kind {
                // The label without its last part, the number of the first bucket.
                Kind::Buckets => (reading.label.rsplit_once(' ').map(|it| it.0), Kind::Histogram),
                kind => (None, kind),
            };
            let label = label.unwrap_or(&reading.label);
            match places.entry((label, kind.name())) {
                Entry::Occupied(place) => metrics[*place.get()].value.add(&metric.value),
                Entry::Vacant(place) => {
                    place.insert(metrics.len());
                    metrics.push(metric);
                }
            }
        }
        metrics
    }

    fn of_line(reading: &Reading) -> Option<Metric> {
        let value = MetricValue::of(reading)?;
        let mut metric =
            Metric { service: String::new(), name: String::new(), labels: Vec::new(), value };
        let is_buckets = reading.kind == Kind::Buckets;
        for (key, value) in reading.label.split(' ').filter_map(|pair| pair.split_once('=')) {
            match key {
                "service" => value.clone_into(&mut metric.service),
                "metric" => value.clone_into(&mut metric.name),
                "first" if is_buckets => {}
                _ => metric.labels.push((key.to_owned(), value.to_owned())),
            }
        }
        Some(metric)
    }
}
