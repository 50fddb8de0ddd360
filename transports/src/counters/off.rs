//! Counters without the feature `metrics`: the same types, with nothing in them. What they do is
//! nothing, and the compiler leaves it out.

use std::marker::PhantomData;
use std::sync::Arc;

use super::reading::Reading;
use super::values::Value;
use crate::memory::MemoryError;

/// The place of all counters. Without the feature `metrics` it has none.
#[derive(Debug)]
pub struct Region(());

impl Region {
    /// A region.
    #[must_use]
    pub fn new(_lines: usize) -> Arc<Region> {
        Arc::new(Region(()))
    }

    /// A region.
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

    /// A line that counts nothing.
    #[must_use]
    pub fn line<V: Value>(&self, _label: &str) -> Line<V> {
        Line(PhantomData)
    }

    /// Lines that record nothing.
    #[must_use]
    pub fn latencies(&self, _topic: &str, _reader: &str) -> LatencyLines {
        LatencyLines(())
    }

    /// Nothing.
    #[must_use]
    pub fn read(&self) -> Vec<Reading> {
        Vec::new()
    }

    /// Nothing.
    #[must_use]
    pub fn dump(&self) -> Vec<Vec<u64>> {
        Vec::new()
    }

    /// 0.
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

    /// 0.
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
}
