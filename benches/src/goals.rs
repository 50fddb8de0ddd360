//! Pairs of columns, what their ratio has to be, and the rows by which goals are counted.

use crate::report::{Limit, Measure, Quartiles, Ratio, Verdict};

/// The rows of the speed table, and those of the other budgets.
pub(crate) mod rows {
    pub(crate) const EMIT: &str = "emit to one subscriber";
    pub(crate) const EMIT_THREADS: &str = "emit to a subscriber on another core";
    pub(crate) const CODEC: &str = "encode and view";
    pub(crate) const SPSC_NUMBERS: &str = "spsc, numbers: one by one, batches of 64";
    pub(crate) const SPSC_MESSAGES: &str = "spsc, messages of 56 and 64 bytes";
    pub(crate) const TRIP: &str = "spsc round trip";
    pub(crate) const MPMC: &str = "mpmc: one by one, batches of 16, fairness";
    pub(crate) const BROADCAST: &str = "broadcast: publish, publish and read";
    pub(crate) const LINK: &str = "link over a Unix socket";
    pub(crate) const HANDLER: &str = "to a service's handler";
    pub(crate) const WAKES: &str = "wake of a service on another executor";
    pub(crate) const PINNED: &str = "round trip of pinned services";
    pub(crate) const IDLE: &str = "idle node";
    pub(crate) const TASKS: &str = "to a parked task and back";
}

/// Two columns whose times of each round are divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) ours: &'static str,
    pub(crate) rival: Rival,
    measure: Measure,
    limit: Option<Limit>,
    /// Whether it counts, or is printed only.
    judged: bool,
    guide: Option<f64>,
}

/// Beside whom.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rival {
    Column(&'static str),
    /// The one of these with the best median of this run.
    Best(&'static [&'static str]),
}

impl Pair {
    pub(crate) const fn new(ours: &'static str, rival: &'static str) -> Pair {
        Pair::of(ours, Rival::Column(rival))
    }

    pub(crate) const fn best(ours: &'static str, rivals: &'static [&'static str]) -> Pair {
        Pair::of(ours, Rival::Best(rivals))
    }

    const fn of(ours: &'static str, rival: Rival) -> Pair {
        Pair { ours, rival, measure: Measure::Time, limit: None, judged: true, guide: None }
    }

    /// Throughputs are divided, not times.
    pub(crate) const fn throughput(self) -> Pair {
        Pair { measure: Measure::Throughput, ..self }
    }

    /// Our cost may be at most so many times the rival's.
    pub(crate) const fn within(self, most: f64) -> Pair {
        Pair { limit: Some(Limit::Cost { most, median: most }), ..self }
    }

    /// As [`within`](Pair::within), and at the median at most `median`.
    pub(crate) const fn within_and_median(self, most: f64, median: f64) -> Pair {
        Pair { limit: Some(Limit::Cost { most, median }), ..self }
    }

    /// Our throughput has to be at least so many times the rival's.
    pub(crate) const fn at_least(self, least: f64) -> Pair {
        Pair { limit: Some(Limit::Throughput { least }), ..self.throughput() }
    }

    /// A goal only if `here` is true, at its point of a sweep; elsewhere the ratio is printed without a verdict.
    pub(crate) const fn judged_if(self, here: bool) -> Pair {
        Pair { judged: here, ..self }
    }

    /// What ours should cost on the machine of the budgets, in nanoseconds.
    pub(crate) const fn guided(self, guide: f64) -> Pair {
        Pair { guide: Some(guide), ..self }
    }

    /// The pair's ratio, if both columns took part. `times` gives a column's times by round.
    pub(crate) fn ratio<'a>(
        &self,
        times: impl Fn(&str) -> Option<&'a [f64]>,
        judged: bool,
    ) -> Option<Ratio> {
        let rival = match self.rival {
            Rival::Column(name) => name,
            Rival::Best(names) => {
                let median = |name: &str| Some(Quartiles::of(times(name)?.iter().copied()).median);
                let there = names.iter().filter_map(|name| Some((*name, median(name)?)));
                there.min_by(|a, b| a.1.total_cmp(&b.1))?.0
            }
        };
        let (ours, others) = (times(self.ours)?, times(rival)?);
        let paired = ours.iter().zip(others);
        let ratio = Quartiles::of(paired.map(|(ours, rival)| match self.measure {
            Measure::Time => ours / rival,
            Measure::Throughput => rival / ours,
        }));
        Some(Ratio {
            ours: self.ours,
            rival,
            best: matches!(self.rival, Rival::Best(_)),
            measure: self.measure,
            ratio,
            limit: self.limit,
            verdict: self
                .limit
                .filter(|_| judged && self.judged)
                .map(|limit| Verdict::of(limit.holds(ratio))),
            guide: self.guide,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(pair: Pair) -> Option<Ratio> {
        pair.ratio(
            |name| match name {
                "ours" => Some(&[2.0, 4.0, 2.0, 4.0, 2.0]),
                "slow" => Some(&[8.0, 8.0, 8.0, 8.0, 8.0]),
                "fast" => Some(&[4.0, 4.0, 4.0, 4.0, 4.0]),
                _ => None,
            },
            true,
        )
    }

    #[test]
    fn the_best_rival_is_the_one_with_the_lowest_median() {
        let found = ratio(Pair::best("ours", &["slow", "absent", "fast"]).at_least(1.0)).unwrap();
        assert_eq!((found.rival, found.best), ("fast", true));
        assert_eq!(found.ratio.median, 2.0);
        assert!(ratio(Pair::best("ours", &["absent"])).is_none());
        assert!(ratio(Pair::new("absent", "fast")).is_none());
    }

    #[test]
    fn a_goal_holds_when_the_worse_quartile_does() {
        let verdict = |pair| ratio(pair).unwrap().verdict.unwrap();
        // Throughput beside `fast` is 2 2 2 1 1, cost its inverse.
        assert_eq!(verdict(Pair::new("ours", "fast").at_least(1.0)), Verdict::Met);
        assert_eq!(verdict(Pair::new("ours", "fast").at_least(1.1)), Verdict::Missed);
        assert_eq!(verdict(Pair::new("ours", "fast").within(1.0)), Verdict::Met);
        assert_eq!(verdict(Pair::new("ours", "fast").within(0.9)), Verdict::Missed);
        let pair = Pair::new("ours", "fast");
        assert_eq!(verdict(pair.within_and_median(1.0, 0.5)), Verdict::Met);
        assert_eq!(verdict(pair.within_and_median(1.0, 0.4)), Verdict::Missed);
    }
}
