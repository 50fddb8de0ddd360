//! Statistics of measurements: quartiles of a sample, and a histogram of times.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The median of a sample, with its first and third quartile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// The first quartile: a quarter of the values is below it.
    pub lower: f64,
    /// The median.
    pub median: f64,
    /// The third quartile.
    pub upper: f64,
}

impl Quartiles {
    /// Quartiles of at least one value. They are interpolated between neighbouring values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Quartiles {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        let at = |quarter: usize| {
            let (index, rest) = (last * quarter / 4, last * quarter % 4);
            let next = sorted[(index + 1).min(last)];
            sorted[index] + (next - sorted[index]) * rest as f64 / 4.0
        };
        Quartiles { lower: at(1), median: at(2), upper: at(3) }
    }
}

/// A histogram of times with three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Times {
        Times(Histogram::new(3).expect("three digits are supported"))
    }
}

impl Times {
    pub(crate) fn record(&mut self, time: Duration) {
        // The histogram grows as needed; `saturating_record` would count long times as short ones.
        let recorded = self.0.record(time.as_nanos() as u64);
        debug_assert!(recorded.is_ok(), "{recorded:?}");
    }

    /// Returns the time in nanoseconds that this part of the values does not exceed.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// Merges all times of some rounds.
    pub(crate) fn all(rounds: &[&Times]) -> Times {
        let mut all = Times::default();
        rounds.iter().for_each(|round| all.0 += &round.0);
        all
    }

    pub(crate) fn max(&self) -> u64 {
        self.0.max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_odd_and_even_numbers_of_figures() {
        let quartiles = |figures: &[f64]| {
            let Quartiles { lower, median, upper } = Quartiles::of(figures.iter().copied());
            [lower, median, upper]
        };
        assert_eq!(quartiles(&[5.0, 1.0, 3.0, 2.0, 4.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(&[1.0, 2.0]), [1.25, 1.5, 1.75]);
        assert_eq!(quartiles(&[7.0]), [7.0, 7.0, 7.0]);
    }
}
