//! Two columns compared, and the goal of the comparison. The results file stores the same type.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stats::Quartiles;

/// Two columns compared, each at its slowest point of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Our column.
    pub ours: WorstPoint,
    /// The rival's column.
    pub rival: WorstPoint,
    /// Whether the rival was chosen as the best of several.
    pub best: bool,
    /// What the two columns are compared by: time or throughput.
    pub measure: Measure,
    /// The goal in words, such as `<= 1.3`.
    pub goal: Option<String>,
    /// Our quantity divided by the rival's, over all rounds; for a difference, minus the rival's.
    pub ratio: Quartiles,
    /// Whether the goal is met, if it was decided.
    pub verdict: Option<Verdict>,
}

impl Ratio {
    /// Whether the ratio means little: its quartiles are far apart, or it is far from the ratio of
    /// the two medians, because a column was in another state when the goal was decided.
    pub(crate) fn is_unsteady(&self) -> bool {
        const FAR: f64 = 1.5;
        let Quartiles { lower, median, upper } = self.ratio;
        let before = match self.measure {
            Measure::Time => self.ours.nanoseconds / self.rival.nanoseconds,
            Measure::Throughput => self.rival.nanoseconds / self.ours.nanoseconds,
            Measure::Difference => return upper - lower > (FAR - 1.0) * self.rival.nanoseconds,
        };
        upper > FAR * lower || !(1.0 / FAR..=FAR).contains(&(median / before))
    }

    /// Returns the value that the goal is about: the worse quartile, or the median.
    pub(crate) fn judged(&self) -> f64 {
        match self.measure {
            _ if self.goal.as_ref().is_some_and(|goal| goal.ends_with(AT_MEDIAN)) => {
                self.ratio.median
            }
            Measure::Time | Measure::Difference => self.ratio.upper,
            Measure::Throughput => self.ratio.lower,
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ratio { ours, rival, measure, .. } = self;
        let best = if self.best { " (best)" } else { "" };
        let Quartiles { lower, median, upper } = self.ratio;
        write!(f, "{ours}, {rival}{best}: {measure} {median:.2} ({lower:.2} to {upper:.2})")?;
        self.goal.iter().try_for_each(|goal| write!(f, ", goal {goal}"))
    }
}

/// A column at its slowest point of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstPoint {
    /// The column.
    pub column: String,
    /// The point; `None` if the table is not part of a sweep.
    pub point: Option<String>,
    /// Median time of an operation at this point, in nanoseconds.
    pub nanoseconds: f64,
}

impl fmt::Display for WorstPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.2} ns", self.column, self.nanoseconds)?;
        self.point.iter().try_for_each(|point| write!(f, " at {point}"))
    }
}

/// How the quantities of two columns are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Time: below 1, ours is better.
    Time,
    /// Throughput: above 1, ours is better.
    Throughput,
    /// The nanoseconds that ours takes more.
    Difference,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Time => "time",
            Measure::Throughput => "throughput",
            Measure::Difference => "ns more",
        })
    }
}

/// A goal: the limit for the worse quartile, or for the median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// The upper quartile must be at most this.
    AtMost(f64),
    /// The median must be at most this.
    MedianAtMost(f64),
    /// The lower quartile must be at least this.
    AtLeast(f64),
}

/// The words that end a goal about the median.
const AT_MEDIAN: &str = "at the median";

impl Limit {
    pub(crate) fn verdict(self, value: Quartiles) -> Verdict {
        Verdict::of(match self {
            Limit::AtMost(most) => value.upper <= most,
            Limit::MedianAtMost(most) => value.median <= most,
            Limit::AtLeast(least) => value.lower >= least,
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::AtMost(most) => write!(f, "<= {most}"),
            Limit::MedianAtMost(most) => write!(f, "<= {most} {AT_MEDIAN}"),
            Limit::AtLeast(least) => write!(f, ">= {least}"),
        }
    }
}

/// Whether a goal is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The goal is met.
    Met,
    /// The goal is not met.
    Missed,
}

impl Verdict {
    pub(crate) fn of(met: bool) -> Verdict {
        if met { Verdict::Met } else { Verdict::Missed }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Verdict::Met { "met" } else { "missed" })
    }
}
