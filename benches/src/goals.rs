//! Pairs of columns, what their ratio has to be, and the rows by which goals are counted.

use crate::report::{Limit, Measure, Place, Quartiles, Ratio, Verdict};

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
    /// The one of these whose slowest point of this run is the fastest.
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

    /// Our cost may be at most `most` times the rival's.
    pub(crate) const fn within(self, most: f64) -> Pair {
        Pair { limit: Some(Limit::Cost { most }), ..self }
    }

    /// As [`within`](Pair::within), at the median instead of the worse quartile.
    pub(crate) const fn within_at_median(self, most: f64) -> Pair {
        Pair { limit: Some(Limit::Median { most }), ..self }
    }

    /// Our throughput has to be at least `least` times the rival's.
    pub(crate) const fn at_least(self, least: f64) -> Pair {
        Pair { limit: Some(Limit::Throughput { least }), ..self.throughput() }
    }

    /// Prints the ratio without a verdict: its goal is judged over the whole sweep.
    pub(crate) const fn printed(self) -> Pair {
        Pair { judged: false, ..self }
    }

    /// What ours should cost on the machine of the budgets, in nanoseconds.
    pub(crate) const fn guided(self, guide: f64) -> Pair {
        Pair { guide: Some(guide), ..self }
    }

    /// Whether the pair has a goal that is judged where it stands.
    pub(crate) fn decides(&self) -> bool {
        self.judged && self.limit.is_some()
    }

    /// Where both columns are slowest: `worst` gives a column's slowest point, or `None` if it did not take part.
    /// The best of several rivals is the one whose slowest point is the fastest.
    pub(crate) fn worst<S: Slowest>(&self, worst: impl Fn(&str) -> Option<S>) -> Option<[S; 2]> {
        let rival = match self.rival {
            Rival::Column(name) => worst(name)?,
            Rival::Best(names) => {
                let there = names.iter().filter_map(|name| worst(name));
                there.min_by(|a, b| a.median().total_cmp(&b.median()))?
            }
        };
        Some([worst(self.ours)?, rival])
    }

    /// The ratio of the times of two columns, round by round.
    pub(crate) fn ratio(&self, worst: [Place; 2], times: [&[f64]; 2], judged: bool) -> Ratio {
        let [ours, rival] = times;
        let paired = ours.iter().zip(rival);
        let ratio = Quartiles::of(paired.map(|(ours, rival)| match self.measure {
            Measure::Time => ours / rival,
            Measure::Throughput => rival / ours,
        }));
        Ratio {
            worst,
            best: matches!(self.rival, Rival::Best(_)),
            measure: self.measure,
            ratio,
            limit: self.limit,
            verdict: self
                .limit
                .filter(|_| judged && self.judged)
                .map(|limit| Verdict::of(limit.holds(ratio))),
            guide: self.guide,
        }
    }
}

/// A column's slowest point of a sweep.
pub(crate) trait Slowest {
    /// The median there.
    fn median(&self) -> f64;
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Slowest for (&str, f64) {
        fn median(&self) -> f64 {
            self.1
        }
    }

    fn ratio(pair: Pair) -> Ratio {
        let place = |column| Place { column, point: None, nanoseconds: 1.0 };
        let times: [&[f64]; 2] = [&[2.0, 4.0, 2.0, 4.0, 2.0], &[4.0; 5]];
        pair.ratio([place("ours"), place("fast")], times, true)
    }

    #[test]
    fn the_best_rival_is_the_one_whose_slowest_point_is_the_fastest() {
        let worst = |name: &str| {
            let known = [("ours", 3.0), ("slow", 8.0), ("fast", 4.0)];
            known.into_iter().find(|(known, _)| *known == name)
        };
        let found = Pair::best("ours", &["slow", "absent", "fast"]).worst(worst).unwrap();
        assert_eq!(found, [("ours", 3.0), ("fast", 4.0)]);
        assert!(Pair::best("ours", &["absent"]).worst(worst).is_none());
        assert!(Pair::new("absent", "fast").worst(worst).is_none());
    }

    #[test]
    fn a_goal_holds_when_the_worse_quartile_does() {
        let verdict = |pair| ratio(pair).verdict.unwrap();
        // Throughput beside `fast` is 2 2 2 1 1, cost its inverse.
        let pair = Pair::new("ours", "fast");
        assert_eq!(verdict(pair.at_least(1.0)), Verdict::Met);
        assert_eq!(verdict(pair.at_least(1.1)), Verdict::Missed);
        assert_eq!(verdict(pair.within(1.0)), Verdict::Met);
        assert_eq!(verdict(pair.within(0.9)), Verdict::Missed);
        assert_eq!(verdict(pair.within_at_median(0.5)), Verdict::Met);
        assert_eq!(verdict(pair.within_at_median(0.4)), Verdict::Missed);
        assert!(ratio(pair.within(1.0).printed()).verdict.is_none());
    }
}
