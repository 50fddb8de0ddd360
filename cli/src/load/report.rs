//! What a program reports of one run, and what several runs say together.

use std::ops::RangeInclusive;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What a program prints as the last line of its output: about the messages that were due after
/// the warm-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    /// Messages that were due.
    pub due: u64,
    /// Messages that were sent. Fewer than were due if the system took fewer until the end.
    pub sent: u64,
    /// Messages that the last reader got.
    pub received: u64,
    /// Messages that were reported to the last reader as missed.
    pub missed: u64,
    /// Seconds from the time at which the first message was due until all were received.
    pub seconds: f64,
    /// From the time at which a message was due to its receipt.
    pub latency: Latency,
    /// Seconds of processor time of what offers the messages, which do not count.
    #[serde(default)]
    pub generator_seconds: f64,
}

/// Seconds that a run can have: thirty years.
const SECONDS: RangeInclusive<f64> = 0.0..=1e9;

impl Report {
    /// Returns whether the generator has offered all its messages.
    pub(super) fn is_offered(&self) -> bool {
        self.generator_seconds > 0.0
    }

    /// Checks that the numbers can be true.
    ///
    /// # Errors
    /// With the number that cannot, and what was expected.
    pub(super) fn check(&self) -> Result<(), String> {
        let Report { due, sent, received, seconds, generator_seconds, latency, .. } = self;
        if sent > due {
            return Err(format!("`sent` is {sent}: expected at most {due}, which were due"));
        }
        let Latency { p50, p90, p99, p999, max } = latency;
        if ![p50, p90, p99, p999, max].is_sorted() {
            return Err(format!("`latency` is {latency:?}: expected percentiles that rise"));
        }
        for (name, found) in [("seconds", seconds), ("generator_seconds", generator_seconds)] {
            if !SECONDS.contains(found) {
                return Err(format!("`{name}` is {found}: expected 0 to {}", SECONDS.end()));
            }
        }
        if *received > 0 && *seconds < 1e-6 {
            return Err(format!("`seconds` is {seconds} for {received} messages"));
        }
        Ok(())
    }
}

/// Percentiles of latencies in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Latency {
    /// The median.
    pub p50: u64,
    /// 90 of 100 are at most this.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    pub(super) fn of(times: &Histogram<u64>) -> Latency {
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|at| times.value_at_quantile(at));
        Latency { p50, p90, p99, p999, max: times.max() }
    }
}

/// One run: what the program reported, and what it used as seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    #[serde(flatten)]
    pub(super) report: Report,
    /// Processor time of all its processes without the generator, by the time that it ran.
    pub(super) cores: f64,
    /// The most resident bytes of all its processes, with pages that are shared counted in each.
    pub(super) memory: u64,
}

impl Run {
    /// Checks that the numbers can be true.
    ///
    /// # Errors
    /// As [`Report::check`].
    pub(super) fn check(&self) -> Result<(), String> {
        self.report.check()?;
        match (0.0..=1e6).contains(&self.cores) {
            true => Ok(()),
            false => Err(format!("`cores` is {}: expected 0 to 1000000", self.cores)),
        }
    }
}

/// What the runs of one system at one rate say together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// Messages received in a second: the median of the runs.
    pub(super) throughput: f64,
    /// Of each percentile the median of the runs; of the longest the longest. `None` if no message
    /// was received.
    pub(super) latency: Option<Latency>,
    /// The median of the runs.
    pub(super) cores: f64,
    /// The most of the runs.
    pub(super) memory: u64,
    /// Of all runs.
    pub(super) missed: u64,
    /// Of all runs: the messages that were due and not sent.
    pub(super) unsent: u64,
    /// Whether in each run each message that was sent was received or reported as missed, once.
    pub(super) adds_up: bool,
}

impl Summary {
    /// Summarizes at least one run.
    pub(super) fn of(runs: &[Run]) -> Summary {
        let reports = || runs.iter().map(|run| &run.report);
        let known = || reports().filter(|it| it.received > 0).map(|it| &it.latency);
        let middle = |of: fn(&Latency) -> u64| median(known().map(of));
        Summary {
            throughput: median(reports().map(|it| it.received as f64 / it.seconds.max(1e-6))),
            latency: known().map(|it| it.max).max().map(|max| Latency {
                p50: middle(|it| it.p50),
                p90: middle(|it| it.p90),
                p99: middle(|it| it.p99),
                p999: middle(|it| it.p999),
                max,
            }),
            cores: median(runs.iter().map(|run| run.cores)),
            memory: runs.iter().map(|run| run.memory).max().unwrap_or(0),
            missed: reports().fold(0, |sum, it| sum.saturating_add(it.missed)),
            unsent: reports().fold(0, |sum, it| sum.saturating_add(it.due.saturating_sub(it.sent))),
            adds_up: reports().all(|it| it.received.checked_add(it.missed) == Some(it.sent)),
        }
    }
}

/// Returns the value in the middle; of an even number, the greater one of the two.
fn median<T: PartialOrd + Copy + Default>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times() {
        let mut times = Histogram::new(3).unwrap();
        (1..=1000).for_each(|time| times.record(time).unwrap());
        let expected = Latency { p50: 500, p90: 900, p99: 990, p999: 999, max: 1000 };
        assert_eq!(Latency::of(&times), expected);
    }
}
