//! Families of metrics, the input of all sinks.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

/// The default limit of sets of labels in a family. Also the limit of topics with their own rest.
pub const LABEL_SETS: usize = 1_000;
/// The value of labels in a rest, which sums up the sets over the limit.
pub const OTHER: &str = "other";
/// The health states.
pub const STATES: [&str; 5] = ["starting", "ready", "degraded", "backing-off", "stopped"];

/// The kind of a family's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FamilyKind {
    /// Numbers that never decrease.
    Counter,
    /// Numbers that may increase and decrease.
    Gauge,
    /// Distributions.
    Histogram,
}

impl FamilyKind {
    /// Returns the name of the kind in the formats of Prometheus.
    pub const fn name(self) -> &'static str {
        match self {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        }
    }
}

/// All metrics of one name, which differ by their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name, valid in Prometheus. The name of a counter is without `_total`.
    pub name: Cow<'static, str>,
    /// The meaning of the family, in a sentence.
    pub help: Cow<'static, str>,
    /// The unit, which is also the end of the name.
    pub unit: Option<&'static str>,
    /// The kind of the family's values.
    pub kind: FamilyKind,
    /// The values of the family.
    pub samples: Vec<Sample>,
}

/// Keys and values of labels, without the node.
///
/// One set of labels is the key of many values, so its hash is computed only once. The hash has
/// random keys, because some of the names come from peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    hash: u64,
    pub(super) pairs: Arc<[(Cow<'static, str>, String)]>,
}

static KEYS_OF_HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Labels {
    pub(super) fn new(pairs: impl IntoIterator<Item = (Cow<'static, str>, String)>) -> Labels {
        let pairs: Arc<[_]> = pairs.into_iter().collect();
        Labels { hash: KEYS_OF_HASHES.hash_one(&pairs), pairs }
    }

    /// Creates labels with these keys and values.
    pub(super) fn of<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
        Labels::new(pairs.map(|(key, value)| (Cow::Borrowed(key), value.to_owned())))
    }

    /// Returns labels with the same keys, and with `other` as each value except that of `kept`.
    pub(super) fn other(&self, kept: &str) -> Labels {
        Labels::new(self.pairs.iter().map(|(key, value)| {
            (key.clone(), if key == kept { value.clone() } else { OTHER.to_owned() })
        }))
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// One value of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub(super) node: Arc<str>,
    pub(super) labels: Labels,
    /// A label from the family itself, such as the reason of a loss.
    pub(super) fixed: Option<(&'static str, &'static str)>,
    /// The value.
    pub value: SampleValue,
}

impl Sample {
    /// Returns the labels, beginning with the node.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let node = [("node", &*self.node)].into_iter();
        let own = self.labels.pairs.iter().map(|(key, value)| (&**key, &**value));
        node.chain(own).chain(self.fixed)
    }

    /// Returns the value of the label with this key, if there is one.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|(other, _)| *other == key).map(|(_, value)| value)
    }
}

/// A value of a family.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// The value of a counter.
    Counter(u64),
    /// The value of a gauge.
    Gauge(i64),
    /// The values of a histogram.
    Histogram(Box<Buckets>),
}

/// The buckets of a histogram. The upper bound of bucket *k* is 2^*k* − 1. So a `u64` needs 65
/// buckets, which are the same in every histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    pub(super) counts: [u64; Buckets::COUNT],
    /// The sum of all values, which wraps.
    pub sum: u64,
    /// The number of values, at least the sum of the buckets.
    pub count: u64,
    pub(super) per_unit: u64,
    /// The smallest and the largest value, if there are any.
    pub range: Option<(u64, u64)>,
}

impl Buckets {
    /// The number of buckets.
    pub const COUNT: usize = 65;

    /// Returns each upper bound with the number of values up to it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let bounds = (0..).map(|power: u32| 1_u64.checked_shl(power).unwrap_or(0).wrapping_sub(1));
        bounds.zip(self.counts.iter().scan(0_u64, |all, count| {
            *all = all.wrapping_add(*count);
            Some(*all)
        }))
    }

    /// Converts a bound or a sum to the unit of the family: latencies are measured in nanoseconds
    /// and shown in seconds.
    pub fn in_unit(&self, value: u64) -> f64 {
        value as f64 / self.per_unit as f64
    }

    pub(super) fn add(&mut self, other: &Buckets) {
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            *count = count.wrapping_add(other);
        }
        self.sum = self.sum.wrapping_add(other.sum);
        self.count = self.count.wrapping_add(other.count);
        self.range = match (self.range, other.range) {
            (Some((least, most)), Some(other)) => Some((least.min(other.0), most.max(other.1))),
            (range, None) | (None, range) => range,
        };
    }
}
