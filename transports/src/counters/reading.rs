//! A copy of a line of counters, for readers.

use super::values::{Kind, VALUES};

/// The most bytes of a label. A longer one is cut.
pub const LONGEST_LABEL: usize = 104;

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
    /// The value with this name in [`Kind::values`], or 0.
    #[must_use]
    pub fn value(&self, name: &str) -> u64 {
        let index = self.kind.values().iter().position(|value| *value == name);
        index.map_or(0, |index| self.values[index])
    }

    /// The label's value for `key`, or an empty string.
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        let mut pairs = self.label.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map_or("", |(_, value)| value)
    }

    /// Whether a line of buckets belongs to latencies: labels of services' lines begin with the
    /// service.
    pub(super) fn is_of_latency(&self) -> bool {
        self.label.starts_with("topic=")
    }
}

#[cfg(feature = "metrics")]
impl Reading {
    /// Returns the label of the total to which lines like this one are added. It leaves out the
    /// names that peers, and members at run time, choose, so that the number of totals does not
    /// grow with them.
    pub(super) fn label_of_total(&self) -> String {
        let keys: &[&str] = match self.kind {
            Kind::Publisher | Kind::Edge | Kind::Requester | Kind::Responder | Kind::Latency => {
                &["topic"]
            }
            Kind::Buckets if self.is_of_latency() => &["topic", "first"],
            Kind::Link => &["role"],
            Kind::Service
            | Kind::Watchdog
            | Kind::Counter
            | Kind::Gauge
            | Kind::Histogram
            | Kind::Buckets
            | Kind::Legacy
            | Kind::Exporter
            | Kind::Pusher
            | Kind::Actor
            | Kind::Node => return self.label.clone(),
        };
        let pairs = self.label.split(' ');
        let kept = pairs.filter(|pair| pair.split_once('=').is_some_and(|it| keys.contains(&it.0)));
        kept.collect::<Vec<_>>().join(" ")
    }

    /// Adds the values of another line of this kind; of sizes and positions, it keeps the greatest.
    pub(super) fn add(&mut self, other: &Reading) {
        let is_one_empty = self.value("count") == 0 || other.value("count") == 0;
        let names = self.kind.values();
        for ((value, other), name) in self.values.iter_mut().zip(other.values).zip(names) {
            *value = match (self.kind, *name) {
                (Kind::Histogram | Kind::Latency, "least") if !is_one_empty => other.min(*value),
                (Kind::Publisher, "capacity" | "high_water" | "remote")
                | (Kind::Edge, "joined_at")
                | (Kind::Service, "spins")
                | (Kind::Histogram | Kind::Latency, "least" | "most")
                | (Kind::Node, _) => other.max(*value),
                _ => value.wrapping_add(other),
            };
        }
    }
}
