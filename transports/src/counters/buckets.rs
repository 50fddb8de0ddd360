//! The buckets of histograms: which bucket a value is in, and what the buckets tell of the values.
//!
//! The layout is that of HdrHistogram (Gil Tene, <http://hdrhistogram.org>) with eight sub-buckets
//! and a unit of 1. Values below 8 have buckets of their own; above, each power of two has four
//! buckets of one width, so a bucket is at most a quarter as wide as its least value. The 252
//! buckets hold every `u64`, with three operations and no table.

use std::fmt;

use super::reading::Reading;
use super::values::Kind;

/// The number of a histogram's buckets.
pub(super) const BUCKETS: usize = 252;
/// The number of buckets for each power of two, and its binary logarithm.
const HALF: u32 = 4;
const HALF_BITS: u32 = 2;

/// Returns the number of the bucket that a value is in.
#[cfg(any(feature = "metrics", test))]
#[inline]
pub(super) fn bucket_of(value: u64) -> usize {
    // The power of two by which the value is divided, so that 4 to 7 are left; 0 below 8.
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
    /// The counts, by the number of the bucket. Shorter if no further bucket was read.
    pub(super) buckets: Vec<u64>,
}

impl Distribution {
    /// The number of recorded values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the part of a histogram, or of latencies, in one line: the sums, or some of the
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

    /// Returns the sum of the recorded values, which wraps.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The least recorded value.
    #[must_use]
    pub fn least(&self) -> Option<u64> {
        self.range.map(|(least, _)| least)
    }

    /// The greatest recorded value.
    #[must_use]
    pub fn most(&self) -> Option<u64> {
        self.range.map(|(_, most)| most)
    }

    /// Returns the buckets with values, from the least values to the greatest. If the region had no
    /// place for some buckets, their values are missing here, but not in
    /// [`count`](Distribution::count).
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.iter().enumerate().filter(|(_, count)| **count > 0).map(|(number, &count)| {
            let (least, most) = range_of(number);
            Bucket { least, most, count }
        })
    }

    /// Returns a value that `part` of the recorded values do not exceed, as near as the buckets
    /// tell: `0.5` is the median. It is at most a quarter too large, and never more than
    /// [`most`](Distribution::most). `None` if nothing was recorded.
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

    /// Adds the values that another histogram has recorded.
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
