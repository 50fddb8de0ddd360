//! Copies of lines, and the metrics, latencies and distributions that readers get from them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use super::plain;
use super::values::{Kind, VALUES};

/// The most bytes of a label: more than a topic, a publisher, its epoch and a reader have. A longer
/// one is cut.
pub const LONGEST_LABEL: usize = 360;

/// A copy of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The kind of the line.
    pub kind: Kind,
    /// Whose values these are, as `key=value` pairs.
    pub label: String,
    /// The values, in the order of [`Kind::values`].
    pub values: [u64; VALUES],
}

impl Reading {
    /// Returns the value with this name in [`Kind::values`], or 0.
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        let index = self.kind.values().iter().position(|value| *value == name);
        index.map_or(0, |index| self.values[index])
    }

    /// Returns the label's value for `key`, or an empty string.
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        let mut pairs = self.label.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map_or("", |(_, value)| value)
    }

    /// Whether a line of buckets belongs to a latency: its label begins with the topic. The label
    /// of a service's histogram begins with the service.
    pub(super) fn is_of_latency(&self) -> bool {
        self.label.starts_with("topic=")
    }
}

#[cfg(feature = "metrics")]
impl Reading {
    /// Returns the label of the total to which this line is added when it is replaced. The label
    /// leaves out names that peers, or members at run time, choose, so that these names do not add
    /// totals.
    pub(super) fn label_of_total(&self) -> String {
        let keys: &[&str] = match self.kind {
            Kind::Publisher | Kind::Edge | Kind::Requester | Kind::Responder | Kind::Latency => {
                &["topic"]
            }
            Kind::Buckets if self.is_of_latency() => &["topic", "first"],
            Kind::Link => &["role"],
            _ => return self.label.clone(),
        };
        let pairs = self.label.split(' ');
        let kept = pairs.filter(|pair| pair.split_once('=').is_some_and(|it| keys.contains(&it.0)));
        kept.collect::<Vec<_>>().join(" ")
    }

    /// Adds the values of another line of this kind; for sizes and positions it keeps the greatest
    /// value.
    pub(super) fn add(&mut self, other: &Reading) {
        let is_one_empty = self.value("count") == 0 || other.value("count") == 0;
        let names = self.kind.values();
        for ((value, other), name) in self.values.iter_mut().zip(other.values).zip(names) {
            *value = match (self.kind, *name) {
                (Kind::Histogram | Kind::Latency, "least") if !is_one_empty => other.min(*value),
                (
                    Kind::Publisher,
                    "capacity" | "high_water" | "remote" | "arena_bytes" | "arena_high_water",
                )
                | (Kind::Edge, "joined_at")
                | (Kind::Service, "spins")
                | (Kind::Histogram | Kind::Latency, "least" | "most")
                | (Kind::Node, _) => other.max(*value),
                _ => value.wrapping_add(other),
            };
        }
    }
}

// Metrics of services, read from lines.

/// A counter, gauge or histogram of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The service.
    pub service: String,
    /// The metric's name.
    pub name: String,
    /// The metric's labels, in the order in which the service gave them.
    pub labels: Vec<(String, String)>,
    /// The metric's value.
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
            _ => return None,
        })
    }

    /// Adds another value of the same kind to this one.
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
    /// the same metric are added up, because each handle of a service has a line.
    #[must_use]
    pub fn of(readings: &[Reading]) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        let mut places: HashMap<_, usize> = HashMap::new();
        for reading in readings {
            let Some(metric) = Metric::of_line(reading) else { continue };
            let (label, kind) = match reading.kind {
                // The label without its last part, which is the number of the first bucket.
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

// Latencies of topics, read from lines.

/// The longest latency in nanoseconds: an hour. A longer one counts as an hour, so that a wrong
/// clock or a lying peer cannot spoil the sum of all latencies.
pub const LONGEST_LATENCY: u64 = 3_600_000_000_000;

/// The length of the longest suffix of a label of buckets: the number of the first bucket.
const FIRST: usize = " first=240".len();

/// How long the messages of a topic took from their emit to their receive by one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// The topic.
    pub topic: String,
    /// The subscription; empty for the total of lines whose places were reused.
    pub reader: String,
    /// The latencies of the measured messages, in nanoseconds.
    pub nanoseconds: Distribution,
    /// The number of messages whose send time is after their receive time, by the clocks of the two
    /// sides. Their latency counts as 0.
    pub ahead: u64,
}

impl Latency {
    /// Returns the latencies among the lines of a region, in the order of their first lines. Lines
    /// of the same reader and topic are added up.
    #[must_use]
    pub fn of(readings: &[Reading]) -> Vec<Latency> {
        let mut latencies: Vec<Latency> = Vec::new();
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        for reading in readings {
            let Some((nanoseconds, ahead)) = values_of(reading) else { continue };
            let (topic, reader) = (reading.label("topic"), reading.label("reader"));
            let place = *places.entry((topic, reader)).or_insert_with(|| {
                let (topic, reader) = (topic.to_owned(), reader.to_owned());
                let nanoseconds = Distribution::default();
                latencies.push(Latency { topic, reader, nanoseconds, ahead: 0 });
                latencies.len() - 1
            });
            latencies[place].nanoseconds.merge(&nanoseconds);
            latencies[place].ahead = latencies[place].ahead.wrapping_add(ahead);
        }
        latencies
    }
}

/// Returns the latencies in a line and how many were ahead; `None` if it is not a line of
/// latencies.
fn values_of(reading: &Reading) -> Option<(Distribution, u64)> {
    match reading.kind {
        Kind::Latency => Some((Distribution::of(reading)?, reading.value("ahead"))),
        Kind::Buckets if reading.is_of_latency() => Some((Distribution::of(reading)?, 0)),
        _ => None,
    }
}

/// Returns the label of a topic's reader, cut so that the suffix of a line of buckets fits.
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "there are no lines"))]
pub(super) fn latency_label(topic: &str, reader: &str) -> String {
    let mut label = format!("topic={} reader={}", plain(topic), plain(reader));
    label.truncate(label.floor_char_boundary(LONGEST_LABEL - FIRST));
    label
}

// Buckets of histograms: the bucket of a value, and the values of a bucket.
//
// The layout is that of HdrHistogram (Gil Tene, <http://hdrhistogram.org>) with eight sub-buckets
// and a unit of 1. Values below 8 have buckets of their own; above, each power of two has four
// buckets of one width, so a bucket is at most a quarter as wide as its least value. The 252
// buckets hold every `u64`, with three operations and no table.

/// The number of a histogram's buckets.
pub(super) const BUCKETS: usize = 252;
/// The number of buckets for each power of two. `HALF_BITS` is its binary logarithm.
const HALF: u32 = 4;
const HALF_BITS: u32 = 2;

/// Returns the number of the bucket that a value is in.
#[cfg(any(feature = "metrics", test))]
#[inline]
pub(super) fn bucket_of(value: u64) -> usize {
    // The power of two by which the value is divided, so that a number from 4 to 7 is left; 0 for
    // values below 8.
    let power = 61 - (value | 7).leading_zeros();
    let sub = (value >> power) as u32;
    (HALF * power + sub) as usize
}

/// Returns the least and the greatest value of the bucket with this number, which is less than
/// [`BUCKETS`].
fn range_of(number: usize) -> (u64, u64) {
    let number = number as u32;
    let power = (number >> HALF_BITS).saturating_sub(1);
    let least = u64::from(number - HALF * power) << power;
    (least, least + ((1 << power) - 1))
}

/// A bucket of a [`Distribution`] that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The least value that the bucket counts.
    pub least: u64,
    /// The greatest value that the bucket counts.
    pub most: u64,
    /// How many values the bucket counted.
    pub count: u64,
}

/// The values that a histogram has recorded.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    pub(super) count: u64,
    pub(super) sum: u64,
    pub(super) range: Option<(u64, u64)>,
    /// The count of each bucket, by its number. Buckets after the last that was read are left out.
    pub(super) buckets: Vec<u64>,
}

impl Distribution {
    /// Returns the number of recorded values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the part of a histogram or latency that one line has: the sums, or some of the
    /// buckets.
    pub(super) fn of(reading: &Reading) -> Option<Distribution> {
        if reading.kind == Kind::Buckets {
            let mut distribution = Distribution::default();
            distribution.add_buckets(reading.label("first").parse().ok()?, &reading.values);
            return Some(distribution);
        }
        let [count, sum, least, most] =
            ["count", "sum", "least", "most"].map(|name| reading.value(name));
        let range = (count > 0).then_some((least, most));
        Some(Distribution { count, sum, range, buckets: Vec::new() })
    }

    /// Returns the sum of the recorded values. The sum wraps.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns the least recorded value; `None` if nothing was recorded.
    #[must_use]
    pub fn least(&self) -> Option<u64> {
        self.range.map(|(least, _)| least)
    }

    /// Returns the greatest recorded value; `None` if nothing was recorded.
    #[must_use]
    pub fn most(&self) -> Option<u64> {
        self.range.map(|(_, most)| most)
    }

    /// Returns the buckets that have values, in ascending order. If the region had no place for
    /// some buckets, their values are missing here, but not in [`count`](Distribution::count).
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(|(number, &count)| {
            let (least, most) = range_of(number);
            Bucket { least, most, count }
        })
    }

    /// Returns a value that the fraction `part` of the recorded values do not exceed: `0.5` is the
    /// median. The buckets limit its precision: it is at most a quarter too large, and never more
    /// than [`most`](Distribution::most). Returns `None` if nothing was recorded.
    ///
    /// ```
    /// use mycelium_transports::counters::{Distribution, Metric, MetricValue, Region};
    ///
    /// let region = Region::new(32);
    /// let lines = region.histogram("service=Store metric=nanoseconds");
    /// (1..=1000).for_each(|value| lines.record(value));
    ///
    /// let metrics = Metric::of(&region.read());
    /// let MetricValue::Histogram(times) = &metrics[0].value else { panic!("another kind") };
    /// assert_eq!((times.count(), times.sum(), times.most()), (1000, 500_500, Some(1000)));
    /// assert_eq!(times.quantile(0.5), Some(511));
    /// assert_eq!(times.quantile(1.0), Some(1000));
    /// assert_eq!(Distribution::default().quantile(0.5), None);
    /// ```
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        // A region of another process may have any counts.
        let total = self.buckets.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        // The cast saturates, and is 0 for NaN.
        let rank = ((part * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        let bucket = self.buckets().find(|bucket| {
            seen = bucket.count.saturating_add(seen);
            seen >= rank
        })?;
        let (least, most) = self.range.unwrap_or((bucket.least, bucket.most));
        Some(bucket.most.clamp(least, most.max(least)))
    }

    /// Adds the recorded values of another histogram.
    pub(super) fn merge(&mut self, other: &Distribution) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
        self.range = match (self.range, other.range) {
            (Some((least, most)), Some(other)) => Some((least.min(other.0), most.max(other.1))),
            (range, other) => range.or(other),
        };
        self.add_buckets(0, &other.buckets);
    }

    /// Adds counts to the buckets from the number `first` on. Numbers beyond the last bucket are
    /// ignored.
    pub(super) fn add_buckets(&mut self, first: usize, counts: &[u64]) {
        let end = first.saturating_add(counts.len()).min(BUCKETS);
        if self.buckets.len() < end {
            self.buckets.resize(end, 0);
        }
        let buckets = self.buckets.iter_mut().skip(first);
        buckets.zip(counts).for_each(|(bucket, count)| *bucket = bucket.wrapping_add(*count));
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution")
            .field("count", &self.count)
            .field("sum", &self.sum)
            .field("least", &self.least())
            .field("most", &self.most())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_have_every_value_once_and_are_at_most_a_quarter_wide() {
        let mut next = 0;
        for number in 0..BUCKETS {
            let (least, most) = range_of(number);
            assert_eq!(least, next, "bucket {number} begins after the one before it");
            assert_eq!((bucket_of(least), bucket_of(most)), (number, number));
            assert!(most - least <= least / 4, "{least} to {most}");
            next = most.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends with the last value");
    }
}
