//! A histogram in a region: a line of its own, and lines of buckets.

use super::buckets::{BUCKETS, bucket_of};
use super::line::Line;
use super::region::Region;
use super::values::{BucketValue, HistogramValue, VALUES};

/// The lines of one histogram, with one writer.
#[derive(Debug)]
pub struct HistogramLines {
    line: Line<HistogramValue>,
    buckets: Box<[Line<BucketValue>]>,
}

impl Region {
    /// Makes the lines of a histogram. To the label of its buckets their first number is added.
    #[must_use]
    pub fn histogram(&self, label: &str) -> HistogramLines {
        let firsts = (0..BUCKETS).step_by(VALUES);
        let buckets = firsts.map(|first| self.line(&format!("{label} first={first}")));
        HistogramLines { line: self.line(label), buckets: buckets.collect() }
    }
}

impl HistogramLines {
    /// Records a value. Only the writer of the lines may call it.
    #[inline]
    pub fn record(&self, value: u64) {
        let bucket = bucket_of(value);
        if let Some(line) = self.buckets.get(bucket / VALUES) {
            line.add(BucketValue::new(bucket), 1);
        }
        let line = &self.line;
        let count = line.get(HistogramValue::Count);
        if count == 0 || value < line.get(HistogramValue::Least) {
            line.set(HistogramValue::Least, value);
        }
        if value > line.get(HistogramValue::Most) {
            line.set(HistogramValue::Most, value);
        }
        line.add(HistogramValue::Sum, value);
        line.set(HistogramValue::Count, count.wrapping_add(1));
    }
}
