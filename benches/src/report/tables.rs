//! Costs an operation by column, and ratios with their goals.

use std::fmt;

use serde::Serialize;

/// One job, done by several columns.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// What `--only` calls it.
    pub key: &'static str,
    /// Which of the tables of that key: the point of a sweep.
    pub point: Option<String>,
    /// Where its goals count.
    pub row: &'static str,
    /// The job.
    pub title: String,
    /// What lies between the two looks at the clock.
    pub timed: &'static str,
    /// Operations in each round.
    pub operations: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Guides: what an operation costs each column on this machine.
    pub figures: Vec<Figures>,
    /// The figures that count: ours and a rival's of the same round.
    pub ratios: Vec<Ratio>,
}

impl Table {
    /// The name of a file about this table, without its ending.
    #[must_use]
    pub fn slug(&self) -> String {
        match &self.point {
            Some(point) => format!("{}-{point}", self.key),
            None => self.key.to_owned(),
        }
    }

    pub(super) fn goals(&self) -> impl Iterator<Item = (&'static str, Verdict, String)> {
        self.ratios.iter().filter_map(|ratio| {
            let goal = format!("{}: {ratio}, goal {}", self.slug(), ratio.limit?);
            Some((self.row, ratio.verdict?, goal))
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.key, self.title)?;
        writeln!(
            f,
            "  timed: {}; {} rounds of {} operations",
            self.timed, self.rounds, self.operations
        )?;
        let width = self.figures.iter().map(|row| row.name.len()).max().unwrap_or(0).max(20);
        writeln!(
            f,
            "  {:<width$} {:>9} {:>9} {:>9}",
            "ns an operation", "median", "lower", "upper"
        )?;
        for Figures { name, nanoseconds } in &self.figures {
            match nanoseconds {
                Some(Quartiles { lower, median, upper }) => {
                    writeln!(f, "  {name:<width$} {median:>9.2} {lower:>9.2} {upper:>9.2}")?;
                }
                None => writeln!(f, "  {name:<width$} livelocked")?,
            }
        }
        if self.ratios.is_empty() {
            return Ok(());
        }
        let width = self.ratios.iter().map(|ratio| ratio.name().len()).max().unwrap_or(0).max(20);
        writeln!(
            f,
            "  {:<width$} {:>9} {:>9} {:>9}",
            "ratio in a round", "median", "lower", "upper"
        )?;
        for ratio in &self.ratios {
            let Quartiles { lower, median, upper } = ratio.ratio;
            write!(f, "  {:<width$} {median:>9.2} {lower:>9.2} {upper:>9.2}", ratio.name())?;
            if let (Some(limit), Some(verdict)) = (ratio.limit, ratio.verdict) {
                write!(f, "   goal {limit}: {verdict}")?;
            }
            if upper > 1.5 * lower {
                write!(f, "   unsteady")?;
            }
            if let Some(guide) = ratio.guide {
                write!(f, "   guide <= {guide} ns")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// What an operation costs one column.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// The column.
    pub name: &'static str,
    /// Over all rounds, in nanoseconds; `None` of a column that came to a standstill.
    pub nanoseconds: Option<Quartiles>,
}

/// Two columns compared.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Ratio {
    /// Our column.
    pub ours: &'static str,
    /// The other one.
    pub rival: &'static str,
    /// Whether the rival was chosen for the best median.
    pub best: bool,
    /// What is divided.
    pub measure: Measure,
    /// Ours by the rival's of the same round, over all rounds.
    pub ratio: Quartiles,
    /// What the ratio has to be.
    pub limit: Option<Limit>,
    /// Whether it is.
    pub verdict: Option<Verdict>,
    /// What ours should cost on the machine of the budgets, in nanoseconds.
    pub guide: Option<f64>,
}

impl Ratio {
    fn name(&self) -> String {
        let Ratio { ours, rival, .. } = self;
        let measure = self.measure;
        format!("{measure}, {ours} / {rival}{}", if self.best { " (best)" } else { "" })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quartiles { lower, median, upper } = self.ratio;
        write!(f, "{} {median:.2} ({lower:.2} to {upper:.2})", self.name())
    }
}

/// What is divided by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Measure {
    /// Ours is better if the ratio is below 1.
    Time,
    /// Ours is better if the ratio is above 1.
    Throughput,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Time => "time",
            Measure::Throughput => "throughput",
        })
    }
}

/// What a ratio has to be. A goal holds when the worse quartile does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Limit {
    /// Of times.
    Cost {
        /// The most that the upper quartile may be.
        most: f64,
        /// The most that the median may be.
        median: f64,
    },
    /// Of throughputs.
    Throughput {
        /// The least that the lower quartile may be.
        least: f64,
    },
}

impl Limit {
    pub(crate) fn holds(self, ratio: Quartiles) -> bool {
        match self {
            Limit::Cost { most, median } => ratio.upper <= most && ratio.median <= median,
            Limit::Throughput { least } => ratio.lower >= least,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Cost { most, median } if median < most => {
                write!(f, "<= {most}, median <= {median}")
            }
            Limit::Cost { most, .. } => write!(f, "<= {most}"),
            Limit::Throughput { least } => write!(f, ">= {least}"),
        }
    }
}

/// What became of a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The worse quartile holds.
    Met,
    /// It does not.
    Missed,
}

impl Verdict {
    pub(crate) fn of(holds: bool) -> Verdict {
        if holds { Verdict::Met } else { Verdict::Missed }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
        })
    }
}

/// The median of many figures, and those at a quarter and three quarters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Quartiles {
    /// A quarter of the figures is below.
    pub lower: f64,
    /// Half of them is.
    pub median: f64,
    /// Three quarters of them are.
    pub upper: f64,
}

impl Quartiles {
    pub(crate) fn of(figures: impl Iterator<Item = f64>) -> Quartiles {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            // Between two figures where the place falls between them.
            let (place, rest) =
                ((sorted.len() - 1) * quarter / 4, (sorted.len() - 1) * quarter % 4);
            let next = sorted[(place + 1).min(sorted.len() - 1)];
            sorted[place] + (next - sorted[place]) * rest as f64 / 4.0
        };
        Quartiles { lower: at(1), median: at(2), upper: at(3) }
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
