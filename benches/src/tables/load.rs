//! The loads that tables offer.

use std::time::Duration;

use crate::options::Options;

/// Messages per second.
pub(super) const RATES: [u64; 9] =
    [20_000, 50_000, 100_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000];

/// The messages of a round at this rate.
pub(super) fn messages(options: &Options, rate: u64) -> usize {
    /// Fewer messages say nothing about a percentile.
    const FEWEST: usize = 100;
    let time = Duration::from_millis(if options.quick { 1 } else { 10 });
    let messages = (rate as f64 * time.as_secs_f64()) as usize;
    options.operations(messages, messages).max(FEWEST)
}
