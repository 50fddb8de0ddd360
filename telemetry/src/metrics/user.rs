//! The metrics of services, with names and labels that are made valid in Prometheus.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use mycelium_transports::counters::{Distribution, Metric, MetricValue, Reading};

use super::family::{Buckets, Family, FamilyKind, Labels, SampleValue};
use super::sets::Sets;

/// The prefix of names that are reserved for this project.
const PROJECT: &str = "mycelium_";

/// Returns the names of the samples of a family.
pub(super) fn sample_names(name: &str, kind: FamilyKind) -> Vec<String> {
    match kind {
        // Reserves the name without `_total` too, so that no family of another kind gets it.
        FamilyKind::Counter => vec![name.to_owned(), format!("{name}_total")],
        FamilyKind::Gauge => vec![name.to_owned()],
        FamilyKind::Histogram => {
            let ends = ["", "_bucket", "_count", "_sum", "_created"];
            ends.iter().map(|end| format!("{name}{end}")).collect()
        }
    }
}

/// Returns the metrics of services in `readings`: families without samples, each with its values by
/// labels. Also returns the number of metrics for which there was no free name. `taken` has the
/// names of other samples.
pub(super) fn families(
    readings: &[Reading],
    mut taken: HashSet<String>,
) -> (Vec<(Family, Sets<SampleValue>)>, usize) {
    let mut all: Vec<(Family, Sets<SampleValue>)> = Vec::new();
    let mut places = HashMap::new();
    let mut left_out = 0;
    for metric in Metric::of(readings) {
        let labels = labels(&metric);
        for (end, value) in values(&metric.value) {
            let kind = match value {
                SampleValue::Counter(_) => FamilyKind::Counter,
                SampleValue::Gauge(_) => FamilyKind::Gauge,
                SampleValue::Histogram(_) => FamilyKind::Histogram,
            };
            let wanted = format!("{}{end}", name(&metric.name, kind));
            let place = *places.entry((wanted.clone(), kind)).or_insert_with(|| {
                let name = free_name(&wanted, kind, &mut taken)?;
                let help = format!("`{}` of services.", metric.name);
                let (name, help) = (Cow::Owned(name), Cow::Owned(help));
                all.push((
                    Family { name, help, unit: None, kind, samples: Vec::new() },
                    Sets::default(),
                ));
                Some(all.len() - 1)
            });
            match place {
                // Names that differ only in characters that Prometheus does not allow become one
                // name.
                Some(place) => all[place].1.add(labels.clone(), value),
                None => left_out += 1,
            }
        }
    }
    (all, left_out)
}

/// Returns a name that no sample of another family has, and reserves it.
fn free_name(wanted: &str, kind: FamilyKind, taken: &mut HashSet<String>) -> Option<String> {
    let second = format!("{wanted}_{}", kind.name());
    let candidates = [wanted.to_owned(), second];
    let is_free =
        |name: &String| sample_names(name, kind).iter().all(|sample| !taken.contains(sample));
    let name = candidates.into_iter().find(is_free)?;
    taken.extend(sample_names(&name, kind));
    Some(name)
}

/// Returns the name of a metric, valid in Prometheus and outside of this project's prefix.
fn name(name: &str, kind: FamilyKind) -> String {
    let plain = name.replace('.', "_");
    // Without the suffix `_total`, which the format adds.
    let plain = match kind {
        FamilyKind::Counter => plain.strip_suffix("_total").unwrap_or(&plain),
        FamilyKind::Gauge | FamilyKind::Histogram => &plain,
    };
    if plain.starts_with(PROJECT) { format!("service_{plain}") } else { plain.to_owned() }
}

/// Returns the labels: the service, and the labels that it gives. A reserved key is renamed.
fn labels(metric: &Metric) -> Labels {
    let service = (Cow::Borrowed("service"), metric.service.clone());
    let is_reserved =
        |key: &str| matches!(key, "node" | "le" | "quantile") || key.starts_with("__");
    let mut pairs = vec![service];
    for (key, value) in &metric.labels {
        let mut key = key.clone();
        // Repeats, because another label may already have the new name.
        while is_reserved(&key) || pairs.iter().any(|(other, _)| **other == *key) {
            key.insert_str(0, "own_");
        }
        pairs.push((Cow::Owned(key), value.clone()));
    }
    Labels::new(pairs)
}

/// Returns the values of a metric, each with the suffix of its name.
fn values(value: &MetricValue) -> Vec<(&'static str, SampleValue)> {
    match value {
        MetricValue::Counter(count) => vec![("", SampleValue::Counter(*count))],
        MetricValue::Gauge(value) => vec![("", SampleValue::Gauge(*value))],
        MetricValue::Histogram(values) => {
            let extreme = |value: Option<u64>| {
                SampleValue::Gauge(i64::try_from(value.unwrap_or(0)).unwrap_or(i64::MAX))
            };
            vec![
                ("", SampleValue::Histogram(Box::new(buckets(values, 1)))),
                ("_min", extreme(values.least())),
                ("_max", extreme(values.most())),
            ]
        }
        // A kind unknown to this version of the package.
        _ => Vec::new(),
    }
}

/// Returns the buckets of a distribution. `per_unit` is the number by which a value is divided to
/// convert it to the unit of the family.
pub(super) fn buckets(values: &Distribution, per_unit: u64) -> Buckets {
    let mut counts = [0; Buckets::COUNT];
    for bucket in values.buckets() {
        // Exact, because no bucket of a line crosses a power of two.
        let power = u64::BITS - bucket.most.leading_zeros();
        let count = &mut counts[power as usize];
        *count = u64::wrapping_add(*count, bucket.count);
    }
    // Sums up the buckets: a value is in its bucket before it is in the count, and the count must
    // not be less than their sum.
    let count = counts.iter().fold(0_u64, |all, count| all.wrapping_add(*count));
    let (count, range) = (count.max(values.count()), values.least().zip(values.most()));
    Buckets { counts, sum: values.sum(), count, per_unit, range }
}
