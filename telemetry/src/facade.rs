//! Passes metrics to the recorder of the crate [`metrics`] that the program has installed.

use std::collections::HashSet;

use ::metrics::{Key, Label, Level, Metadata, Unit, with_recorder};

use crate::Snapshot;
use crate::metrics::{Collector, Family, FamilyKind, Sample, SampleValue};

/// The quantiles of a histogram that are passed on, with their labels.
const QUANTILES: [(f64, &str); 4] = [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99"), (0.999, "0.999")];

/// Passes snapshots of one node to the recorder.
///
/// Names, labels and values are those of the [families](Collector::collect); the name of a counter
/// ends in `_total`. A recorder accepts only single values of a histogram, but a node has only
/// their counts. So the recorder gets the count and the sum as counters, and quantiles as gauges
/// with the label `quantile`, like a summary in Prometheus. The sum of latencies is a gauge, in
/// seconds.
///
/// ```
/// use mycelium_telemetry::Snapshot;
/// use mycelium_telemetry::facade::Facade;
/// use mycelium_telemetry::metrics::Collector;
///
/// let mut facade = Facade::new(Collector::new());
/// // Without a recorder it has no effect.
/// facade.pass(&Snapshot { node: "main".to_owned(), ..Snapshot::default() });
/// ```
#[derive(Debug, Default)]
pub struct Facade {
    collector: Collector,
    described: HashSet<String>,
}

impl Facade {
    /// Creates a facade that has passed nothing yet.
    pub fn new(collector: Collector) -> Facade {
        Facade { collector, described: HashSet::new() }
    }

    /// Passes the families of a snapshot to the installed recorder.
    pub fn pass(&mut self, snapshot: &Snapshot) {
        for family in self.collector.collect(snapshot) {
            self.describe(&family);
            for sample in &family.samples {
                pass(&family, sample);
            }
        }
    }

    fn describe(&mut self, family: &Family) {
        let name = match family.kind {
            FamilyKind::Counter => format!("{}_total", family.name),
            FamilyKind::Gauge | FamilyKind::Histogram => family.name.clone().into_owned(),
        };
        if !self.described.insert(name.clone()) {
            return;
        }
        let unit = family.unit.and_then(Unit::from_string);
        let help = family.help.clone().into_owned().into();
        with_recorder(|recorder| match family.kind {
            FamilyKind::Counter => recorder.describe_counter(name.into(), unit, help),
            FamilyKind::Gauge | FamilyKind::Histogram => {
                recorder.describe_gauge(name.into(), unit, help);
            }
        });
    }
}

fn pass(family: &Family, sample: &Sample) {
    let name = &family.name;
    match &sample.value {
        SampleValue::Counter(count) => set_counter(format!("{name}_total"), sample, *count),
        SampleValue::Gauge(value) => set_gauge(name.to_string(), sample, None, *value as f64),
        SampleValue::Histogram(buckets) => {
            set_counter(format!("{name}_count"), sample, buckets.count);
            match family.unit {
                // A gauge, because the sum has a fraction in this unit, but counters are integers.
                Some(_) => {
                    let sum = buckets.in_unit(buckets.sum);
                    set_gauge(format!("{name}_sum"), sample, None, sum);
                }
                None => set_counter(format!("{name}_sum"), sample, buckets.sum),
            }
            for (part, text) in QUANTILES {
                let rank = (part * buckets.count as f64).ceil() as u64;
                let bound = buckets.cumulative().find(|(_, count)| *count >= rank.max(1));
                let value = bound.map_or(0.0, |(bound, _)| buckets.in_unit(bound));
                set_gauge(name.to_string(), sample, Some(text), value);
            }
        }
    }
}

const METADATA: Metadata<'static> =
    Metadata::new("mycelium", Level::INFO, Some("mycelium_telemetry"));

fn key(name: String, sample: &Sample, quantile: Option<&str>) -> Key {
    let labels = sample.labels().chain(quantile.map(|quantile| ("quantile", quantile)));
    let labels = labels.map(|(key, value)| Label::new(key.to_owned(), value.to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

fn set_counter(name: String, sample: &Sample, count: u64) {
    let key = key(name, sample, None);
    with_recorder(|recorder| recorder.register_counter(&key, &METADATA).absolute(count));
}

fn set_gauge(name: String, sample: &Sample, quantile: Option<&str>, value: f64) {
    let key = key(name, sample, quantile);
    with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).set(value));
}
