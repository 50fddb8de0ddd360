//! How long single messages took, by column.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::report::Quartiles;

/// Times of single messages, by column.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LatencyTable {
    /// What `--only` calls the work.
    pub key: &'static str,
    /// The point of the sweep.
    pub point: &'static str,
    /// What is sent how.
    pub title: String,
    /// Messages in each round.
    pub operations: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// One for each column.
    pub rows: Vec<Percentiles>,
}

impl LatencyTable {
    /// The name of a file about this table, without its ending.
    #[must_use]
    pub fn slug(&self) -> String {
        format!("{}-latency-{}", self.key, self.point)
    }
}

impl fmt::Display for LatencyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "latency: {}", self.title)?;
        writeln!(f, "  {} rounds of {} messages", self.rounds, self.operations)?;
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(20);
        write!(f, "  {:<width$} {:>9} {:>9} {:>9} {:>9}", "ns", "p50", "p99", "p99.9", "max")?;
        writeln!(f, "   {:>9} {:>9} {:>9}", "ours/p50", "lower", "upper")?;
        for row in &self.rows {
            write!(
                f,
                "  {:<width$} {:>9} {:>9} {:>9} {:>9}",
                row.name, row.p50, row.p99, row.p999, row.max
            )?;
            if let Some(Quartiles { lower, median, upper }) = row.ratio {
                write!(f, "   {median:>9.2} {lower:>9.2} {upper:>9.2}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The times of one column, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// The column.
    pub name: &'static str,
    /// Half of the messages took at most this.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
    /// More of the same, for a plot.
    pub curve: Vec<Point>,
    /// Our median of a round by this column's of the same round.
    pub ratio: Option<Quartiles>,
}

/// A place on the curve of a column's times.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Point {
    /// This part of the messages, between 0 and 1, ...
    pub quantile: f64,
    /// ... took at most this.
    pub nanoseconds: u64,
}

/// The places of a curve: half, and then ever closer to all.
const QUANTILES: [f64; 11] =
    [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999];

impl Percentiles {
    /// A column's rounds taken together, beside ours of the same rounds.
    pub(crate) fn of(
        name: &'static str,
        rounds: &[Histogram<u64>],
        ours: Option<&[Histogram<u64>]>,
    ) -> Percentiles {
        let mut all = histogram();
        rounds.iter().for_each(|round| all += round);
        let p50 = |round: &Histogram<u64>| round.value_at_quantile(0.5) as f64;
        let pairs = |ours: &[Histogram<u64>]| {
            Quartiles::of(ours.iter().zip(rounds).map(|(ours, rival)| p50(ours) / p50(rival)))
        };
        Percentiles {
            name,
            p50: all.value_at_quantile(0.5),
            p99: all.value_at_quantile(0.99),
            p999: all.value_at_quantile(0.999),
            max: all.max(),
            curve: QUANTILES
                .map(|quantile| Point { quantile, nanoseconds: all.value_at_quantile(quantile) })
                .into(),
            ratio: ours.map(pairs),
        }
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}
