//! Copies of regions, for readers.

use std::sync::Arc;

use super::layout::{KindView, Layout, ViewError};
use crate::counters::reading::Reading;
use crate::counters::values::{Kind, VALUES};
use crate::sync::{AtomicU64, ForeignWords};

/// A copy of all lines of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CountersView {
    /// The kinds of lines that the writer of the region knows.
    pub kinds: Vec<Arc<KindView>>,
    /// The lines in use, in the order of their places.
    pub lines: Vec<LineView>,
    /// Lines that were made without a place where readers could see them.
    pub unseen: u64,
    /// The number of lines that were left out, because others took their places while they were
    /// read, or because their kind is not in the region.
    pub torn: usize,
    /// The number of places in segments that are not available: the process had no descriptor left
    /// for them, or ended before they were mapped.
    pub out_of_reach: u64,
    /// The process that made the region, by its number in its own namespace of processes.
    pub made_by: u32,
}

/// A copy of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineView {
    /// The line's place, counted through all segments. A place has one line at a time.
    pub place: u64,
    /// How many lines this place has had until now. Two copies show the same line if their place
    /// and generation are equal.
    pub generation: u64,
    /// The kind.
    pub kind: Arc<KindView>,
    /// Whose values these are, as `key=value` pairs.
    pub label: String,
    /// The values, in the order of their names in the kind.
    pub values: Vec<u64>,
}

impl CountersView {
    /// Reads a region from the words of its segments, as
    /// [`Region::dump`](crate::counters::Region::dump) returns them. The last segments may be
    /// missing.
    ///
    /// ```
    /// use mycelium_transports::counters::{CountersView, Region, ServiceValue};
    ///
    /// let region = Region::new(16);
    /// # if region.dump().is_empty() { return Ok(()) }
    /// let line = region.line("service=Detector");
    /// line.add(ServiceValue::Starts, 1);
    /// let view = CountersView::of_dump(&region.dump())?;
    /// assert_eq!(view.lines[0].label("service"), "Detector");
    /// assert_eq!(view.lines[0].value("starts"), Some(1));
    /// # Ok::<(), mycelium_transports::counters::ViewError>(())
    /// ```
    ///
    /// # Errors
    /// If the words are not those of a region, or contradict each other.
    pub fn of_dump(segments: &[Vec<u64>]) -> Result<CountersView, ViewError> {
        let atomic = |words: &Vec<u64>| words.iter().map(|word| AtomicU64::new(*word)).collect();
        let segments: Vec<Vec<AtomicU64>> = segments.iter().map(atomic).collect();
        let pieces = segments.iter().map(|words| ForeignWords::new(words));
        let first = pieces.clone().next().unwrap_or(ForeignWords::new(&[]));
        let layout = Layout::of(first)?;
        let listed = layout.listed(first)?;
        let pieces: Vec<_> = pieces.map(Some).collect();
        layout.read(first, &listed, &pieces)
    }

    /// Returns the lines as [`Region::read`](crate::counters::Region::read) does, for
    /// [`Metric::of`](crate::counters::Metric::of) and
    /// [`Latency::of`](crate::counters::Latency::of). Kinds and values that this version does not
    /// know are left out.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        self.lines.iter().filter_map(LineView::reading).collect()
    }
}

impl LineView {
    /// The value with this name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u64> {
        let index = self.kind.values.iter().position(|value| value == name)?;
        self.values.get(index).copied()
    }

    /// The part of the label with this key, or an empty string.
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        let mut parts = self.label.split(' ').filter_map(|part| part.split_once('='));
        parts.find(|(name, _)| *name == key).map_or("", |(_, value)| value)
    }

    /// Returns the line as this version knows it. Its values are found by their names.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == self.kind.name)?;
        let mut values = [0; VALUES];
        for (value, name) in values.iter_mut().zip(kind.values()) {
            *value = self.value(name).unwrap_or(0);
        }
        Some(Reading { kind, label: self.label.clone(), values })
    }
}
