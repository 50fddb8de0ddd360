//! Counters without the feature `metrics`: the same types, but empty. Their methods do nothing, and
//! the compiler leaves them out.

use std::marker::PhantomData;
use std::sync::Arc;

use super::reading::Reading;
use super::values::Value;
use crate::memory::MemoryError;

/// The home of all counters. Without the feature `metrics` it is empty.
#[derive(Debug)]
pub struct Region(());

impl Region {
    /// Creates an empty region.
    #[must_use]
    pub fn new(_lines: usize) -> Arc<Region> {
        Arc::new(Region(()))
    }

    /// Creates an empty region.
    #[must_use]
    pub fn with_most(lines: usize, _most: usize) -> Arc<Region> {
        Region::new(lines)
    }

    /// Fails: there is nothing to share.
    ///
    /// # Errors
    /// Always [`MemoryError::Unsupported`].
    pub fn shared(_lines: usize) -> Result<Arc<Region>, MemoryError> {
        Err(MemoryError::Unsupported)
    }

    /// Creates a line that counts nothing.
    #[must_use]
    pub fn line<V: Value>(&self, _label: &str) -> Line<V> {
        Line(PhantomData)
    }

    /// Creates a line that counts nothing.
    #[must_use]
    pub fn line_with<V: Value>(&self, label: &str, _first: &[(V, u64)]) -> Line<V> {
        self.line(label)
    }

    /// Creates lines that record nothing.
    #[must_use]
    pub fn latencies(&self, _topic: &str, _reader: &str) -> LatencyLines {
        LatencyLines(())
    }

    /// Returns nothing.
    #[must_use]
    pub fn read(&self) -> Vec<Reading> {
        Vec::new()
    }

    /// Returns nothing.
    #[must_use]
    pub fn dump(&self) -> Vec<Vec<u64>> {
        Vec::new()
    }

    /// Returns 0.
    #[must_use]
    pub fn unseen(&self) -> u64 {
        0
    }
}

/// The latencies of a topic at a reader. Without the feature `metrics` they are not recorded.
#[derive(Debug)]
pub struct LatencyLines(());

impl LatencyLines {
    /// Does nothing.
    #[inline(always)]
    pub fn record(&self, _latency: Option<u64>) {}
}

/// The values of one line. Without the feature `metrics` they are not counted.
#[derive(Debug)]
pub struct Line<V>(PhantomData<fn(V)>);

impl<V: Value> Line<V> {
    /// Does nothing.
    #[inline(always)]
    pub fn set(&self, _value: V, _to: u64) {}

    /// Returns 0.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, _value: V) -> u64 {
        0
    }

    /// Does nothing.
    #[inline(always)]
    pub fn add(&self, _value: V, _count: u64) {}

    /// Does nothing.
    #[inline(always)]
    pub fn count(&self, _value: V) {}

    /// Does nothing.
    #[inline(always)]
    pub fn count_many(&self, _value: V, _count: u64) {}

    /// Does nothing.
    #[inline(always)]
    pub fn follow(&self, _value: V, _position: usize) {}

    /// Does nothing.
    #[inline(always)]
    pub fn trail(&self, _value: V, _position: usize) -> (u64, u64) {
        (0, 0)
    }
}
