//! A histogram in a region: one line, and further lines for its buckets.

use super::super::reading::{BUCKETS, LONGEST_LATENCY, bucket_of, latency_label};
use super::super::values::{BucketValue, HistogramValue, LatencyValue, VALUES, Value};
use super::{Line, Region};
use crate::sync::Ordering;

/// The lines of one histogram, with one writer.
#[derive(Debug)]
pub struct HistogramLines {
    line: Line<HistogramValue>,
    buckets: BucketLines,
}

/// The lines of the latencies of one topic at one reader, with one writer.
#[derive(Debug)]
pub struct LatencyLines {
    line: Line<LatencyValue>,
    buckets: BucketLines,
}

#[derive(Debug)]
struct BucketLines(Box<[Line<BucketValue>]>);

impl Region {
    /// Creates the lines of a histogram. The label of each line of buckets ends with the number of
    /// its first bucket.
    #[must_use]
    pub fn histogram(&self, label: &str) -> HistogramLines {
        let buckets = BucketLines::new(self, label, BUCKETS);
        HistogramLines { line: self.line(label), buckets }
    }

    /// Creates the lines of the latencies of a topic at a reader.
    #[must_use]
    pub fn latencies(&self, topic: &str, reader: &str) -> LatencyLines {
        let label = latency_label(topic, reader);
        // Creates no lines for the buckets of longer latencies: these stay empty.
        let buckets = BucketLines::new(self, &label, bucket_of(LONGEST_LATENCY) + 1);
        LatencyLines { line: self.line(&label), buckets }
    }
}

impl HistogramLines {
    /// Records a value. Only the writer of the lines may call it.
    #[inline]
    pub fn record(&self, value: u64) {
        use HistogramValue::{Count, Least, Most, Sum};

        self.buckets.count(value);
        add(&self.line, [Count, Sum, Least, Most], value);
    }
}

impl LatencyLines {
    /// Records a latency in nanoseconds, at most [`LONGEST_LATENCY`]. `None` means that the message
    /// was sent after the present time: it counts as 0, and as ahead. Only the writer of the lines
    /// may call it.
    ///
    /// ```
    /// use mycelium_transports::counters::{Latency, Region};
    ///
    /// let region = Region::new(32);
    /// let lines = region.latencies("swaps", "Detector.swaps");
    /// lines.record(Some(5_000_000));
    /// lines.record(None);
    /// let [latency] = &Latency::of(&region.read())[..] else { panic!("one reader of one topic") };
    /// assert_eq!((&*latency.topic, &*latency.reader), ("swaps", "Detector.swaps"));
    /// assert_eq!((latency.nanoseconds.count(), latency.ahead), (2, 1));
    /// assert_eq!(latency.nanoseconds.most(), Some(5_000_000));
    /// ```
    #[inline(never)]
    pub fn record(&self, latency: Option<u64>) {
        use LatencyValue::{Ahead, Count, Least, Most, Sum};

        if latency.is_none() {
            self.line.add(Ahead, 1);
        }
        let value = latency.unwrap_or(0).min(LONGEST_LATENCY);
        self.buckets.count(value);
        add(&self.line, [Count, Sum, Least, Most], value);
    }
}

impl BucketLines {
    /// Creates lines for this number of buckets.
    fn new(region: &Region, label: &str, buckets: usize) -> BucketLines {
        let firsts = (0..buckets).step_by(VALUES);
        BucketLines(firsts.map(|first| region.line(&format!("{label} first={first}"))).collect())
    }

    #[inline]
    fn count(&self, value: u64) {
        let bucket = bucket_of(value);
        if let Some(line) = self.0.get(bucket / VALUES) {
            line.add(BucketValue::new(bucket), 1);
        }
    }
}

/// Adds a recorded value to the line of a histogram.
#[inline]
fn add<V: Value>(line: &Line<V>, [count, sum, least, most]: [V; 4], value: u64) {
    // Not `get`: nobody else counts these values, so their second words are 0.
    let get = |value| line.word(value).load(Ordering::Relaxed);
    let before = get(count);
    if before == 0 || value < get(least) {
        line.set(least, value);
    }
    if value > get(most) {
        line.set(most, value);
    }
    line.add(sum, value);
    line.set(count, before.wrapping_add(1));
}
