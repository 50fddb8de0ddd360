//! Pairs of columns whose ratio is taken, and the goals that the ratio has to meet.

use crate::report::{Limit, Measure, Ratio, WorstPoint};
use crate::stats::Quartiles;

/// Two columns: the times of each round are divided or subtracted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    ours: &'static str,
    rival: Rival,
    measure: Measure,
    limit: Option<Limit>,
    /// The figures of both columns that are compared.
    figures: [Figure; 2],
    /// Whether only the ratio is printed: the goal is decided over the whole sweep.
    printed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Rival {
    Column(&'static str),
    /// The one of these rivals whose slowest point is the fastest.
    Best(&'static [&'static str]),
}

/// A figure of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// The one that tables show.
    Round,
    /// The 99th percentile.
    Slow,
}

impl Pair {
    pub(crate) const fn new(ours: &'static str, rival: &'static str) -> Pair {
        Pair::of(ours, Rival::Column(rival))
    }

    /// Compares our column with the best of several rivals.
    pub(crate) const fn best(ours: &'static str, rivals: &'static [&'static str]) -> Pair {
        Pair::of(ours, Rival::Best(rivals))
    }

    const fn of(ours: &'static str, rival: Rival) -> Pair {
        let (measure, figures) = (Measure::Time, [Figure::Round; 2]);
        Pair { ours, rival, measure, limit: None, figures, printed: false }
    }

    /// Compares the slow operations of both columns, whose operations are timed one by one.
    pub(crate) const fn of_slow(self) -> Pair {
        Pair { figures: [Figure::Slow; 2], ..self }
    }

    /// Compares a column's slow operations with its median ones.
    pub(crate) const fn spread(ours: &'static str) -> Pair {
        let pair = Pair::new(ours, ours);
        Pair { figures: [Figure::Slow, Figure::Round], ..pair }
    }

    /// Compares throughputs instead of times.
    pub(crate) const fn throughput(self) -> Pair {
        Pair { measure: Measure::Throughput, ..self }
    }

    /// Goal: our time is at most `most` times the rival's, at the worse quartile.
    pub(crate) const fn within(self, most: f64) -> Pair {
        Pair { limit: Some(Limit::AtMost(most)), ..self }
    }

    /// Goal: our time is at most `most` times the rival's, at the median.
    pub(crate) const fn within_at_median(self, most: f64) -> Pair {
        Pair { limit: Some(Limit::MedianAtMost(most)), ..self }
    }

    /// Goal: our time is at most this number of nanoseconds more than the rival's, at the median.
    pub(crate) const fn adds(self, most: f64) -> Pair {
        Pair { measure: Measure::Difference, ..self.within_at_median(most) }
    }

    /// Goal: our throughput is at least `least` times the rival's.
    pub(crate) const fn at_least(self, least: f64) -> Pair {
        Pair { limit: Some(Limit::AtLeast(least)), ..self.throughput() }
    }

    /// Prints the ratio and does not decide the goal.
    pub(crate) const fn printed(self) -> Pair {
        Pair { printed: true, ..self }
    }

    /// Whether the pair has a goal that must be decided.
    pub(crate) fn decides(&self) -> bool {
        self.limit.is_some() && !self.printed
    }

    /// Returns the figures of both columns that are compared.
    pub(crate) fn figures(&self) -> [Figure; 2] {
        self.figures
    }

    /// Returns the slowest points of both columns. `worst` returns the median and the place of a
    /// column's slowest point, or `None` if the column did not take part.
    pub(crate) fn worst<P>(&self, worst: impl Fn(&str) -> Option<(f64, P)>) -> Option<[P; 2]> {
        let (_, rival) = match self.rival {
            Rival::Column(name) => worst(name)?,
            Rival::Best(names) => {
                let points = names.iter().filter_map(|name| worst(name));
                points.min_by(|one, other| one.0.total_cmp(&other.0))?
            }
        };
        Some([worst(self.ours)?.1, rival])
    }

    /// Returns the ratio or the difference of both columns' times, by round. `judge` is false in a
    /// quick run.
    pub(crate) fn ratio(&self, worst: [WorstPoint; 2], times: [&[f64]; 2], judge: bool) -> Ratio {
        let rounds = times[0].iter().zip(times[1]);
        let ratio = Quartiles::of(rounds.map(|(ours, rival)| match self.measure {
            Measure::Time => ours / rival,
            Measure::Throughput => rival / ours,
            Measure::Difference => ours - rival,
        }));
        let [ours, rival] = worst;
        Ratio {
            ours,
            rival,
            best: matches!(self.rival, Rival::Best(_)),
            measure: self.measure,
            goal: self.limit.map(|limit| limit.to_string()),
            ratio,
            verdict: self
                .limit
                .filter(|_| judge && !self.printed)
                .map(|limit| limit.verdict(ratio)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn ratio(pair: Pair) -> Ratio {
        let point =
            |column: &str| WorstPoint { column: column.into(), point: None, nanoseconds: 1.0 };
        let times: [&[f64]; 2] = [&[2.0, 4.0, 2.0, 4.0, 2.0], &[4.0; 5]];
        pair.ratio([point("ours"), point("fast")], times, true)
    }

    #[test]
    fn the_best_rival_is_the_one_whose_slowest_point_is_the_fastest() {
        let worst = |name: &str| {
            let known = [("ours", 3.0), ("slow", 8.0), ("fast", 4.0)];
            known.into_iter().find(|(known, _)| *known == name).map(|(name, time)| (time, name))
        };
        let found = Pair::best("ours", &["slow", "absent", "fast"]).worst(worst).unwrap();
        assert_eq!(found, ["ours", "fast"]);
        assert!(Pair::best("ours", &["absent"]).worst(worst).is_none());
        assert!(Pair::new("absent", "fast").worst(worst).is_none());
    }

    #[test]
    fn a_goal_holds_when_the_worse_quartile_does() {
        let verdict = |pair| ratio(pair).verdict.unwrap();
        // The throughput beside `fast` is 2 2 2 1 1, and the cost its inverse.
        let pair = Pair::new("ours", "fast");
        assert_eq!(verdict(pair.at_least(1.0)), Verdict::Met);
        assert_eq!(verdict(pair.at_least(1.1)), Verdict::Missed);
        assert_eq!(verdict(pair.within(1.0)), Verdict::Met);
        assert_eq!(verdict(pair.within(0.9)), Verdict::Missed);
        assert_eq!(verdict(pair.within_at_median(0.5)), Verdict::Met);
        assert_eq!(verdict(pair.within_at_median(0.4)), Verdict::Missed);
        assert!(ratio(pair.within(1.0).printed()).verdict.is_none());
        // The differences are -2 -2 -2 0 0.
        assert_eq!(verdict(pair.adds(-2.0)), Verdict::Met);
        assert_eq!(verdict(pair.adds(-3.0)), Verdict::Missed);
    }
}
