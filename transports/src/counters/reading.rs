//! A copy of a line of counters, for readers.

use super::values::{Kind, VALUES};

/// The longest label in bytes. A longer one is cut.
pub const LONGEST_LABEL: usize = 104;

/// A copy of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The kind of the line.
    pub kind: Kind,
    /// The owner of the values, as `key=value` pairs.
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
}
