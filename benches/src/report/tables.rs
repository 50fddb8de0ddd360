//! Costs an operation by column, and ratios with their goals.

use std::fmt;

use serde::{Deserialize, Serialize};

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
        goals(self.row, &self.slug(), &self.ratios)
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
            if ratio.is_unsteady() {
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

/// Two columns compared, each at the point of a sweep where it is slowest.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Ratio {
    /// Our column and the other one.
    pub worst: [Place; 2],
    /// Whether the rival was chosen as the best of several.
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

/// A column at a point of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// The column.
    pub column: &'static str,
    /// The point, if its table is one of a sweep.
    pub point: Option<String>,
    /// The median of an operation there, in nanoseconds.
    pub nanoseconds: f64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.2} ns", self.column, self.nanoseconds)?;
        self.point.iter().try_for_each(|point| write!(f, " at {point}"))
    }
}

impl Ratio {
    fn name(&self) -> String {
        let Ratio { worst: [ours, rival], measure, .. } = self;
        let best = if self.best { " (best)" } else { "" };
        format!("{measure}, {} / {}{best}", ours.column, rival.column)
    }

    fn is_unsteady(&self) -> bool {
        let medians = self.worst.each_ref().map(|place| place.nanoseconds);
        self.ratio.is_unsteady(medians, self.measure)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ratio { worst: [ours, rival], measure, .. } = self;
        let Quartiles { lower, median, upper } = self.ratio;
        let best = if self.best { " (best)" } else { "" };
        write!(f, "{ours}, {rival}{best}: {measure} {median:.2} ({lower:.2} to {upper:.2})")
    }
}

/// The goals of a sweep: each column counts where it is slowest.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SweepTable {
    /// What `--only` calls its tables.
    pub key: &'static str,
    /// Where its goals count.
    pub row: &'static str,
    /// Ours and a rival's, each at its slowest point.
    pub ratios: Vec<Ratio>,
}

impl SweepTable {
    pub(super) fn goals(&self) -> impl Iterator<Item = (&'static str, Verdict, String)> {
        goals(self.row, self.key, &self.ratios)
    }
}

impl fmt::Display for SweepTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: worst points of the sweep", self.key)?;
        for ratio in &self.ratios {
            write!(f, "  {ratio}")?;
            if let Some(limit) = ratio.limit {
                write!(f, ", goal {limit}")?;
            }
            if let Some(verdict) = ratio.verdict {
                write!(f, ": {verdict}")?;
            }
            writeln!(f, "{}", if ratio.is_unsteady() { "   unsteady" } else { "" })?;
        }
        Ok(())
    }
}

/// The goals among these ratios, in words.
fn goals<'a>(
    row: &'static str,
    table: &str,
    ratios: &'a [Ratio],
) -> impl Iterator<Item = (&'static str, Verdict, String)> + use<'a> {
    let table = table.to_owned();
    ratios.iter().filter_map(move |ratio| {
        let goal = format!("{table}: {ratio}, goal {}", ratio.limit?);
        Some((row, ratio.verdict?, goal))
    })
}

/// What is divided by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a ratio has to be. A goal holds when the worse quartile does, unless it is about the median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Limit {
    /// Of times, at the upper quartile.
    Cost {
        /// The most that it may be.
        most: f64,
    },
    /// Of times, at the median.
    Median {
        /// The most that it may be.
        most: f64,
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
            Limit::Cost { most } => ratio.upper <= most,
            Limit::Median { most } => ratio.median <= most,
            Limit::Throughput { least } => ratio.lower >= least,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Cost { most } => write!(f, "<= {most}"),
            Limit::Median { most } => write!(f, "<= {most} at the median"),
            Limit::Throughput { least } => write!(f, ">= {least}"),
        }
    }
}

/// What became of a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is.
    Met,
    /// It is not.
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Whether a ratio says little: its quartiles are far apart, or it is far from that of the medians of the tables,
    /// because a column was in another state when the goal was decided.
    pub(crate) fn is_unsteady(self, [ours, rival]: [f64; 2], measure: Measure) -> bool {
        const FAR: f64 = 1.5;
        let before = match measure {
            Measure::Time => ours / rival,
            Measure::Throughput => rival / ours,
        };
        let apart = self.median / before;
        self.upper > FAR * self.lower || !(1.0 / FAR..=FAR).contains(&apart)
    }

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

    #[test]
    fn a_ratio_far_from_that_of_the_tables_is_unsteady() {
        let ratio = Quartiles { lower: 0.5, median: 0.6, upper: 0.7 };
        assert!(!ratio.is_unsteady([6.0, 10.0], Measure::Time));
        assert!(!ratio.is_unsteady([10.0, 6.0], Measure::Throughput));
        assert!(ratio.is_unsteady([15.0, 10.0], Measure::Time));
        let wide = Quartiles { lower: 0.4, ..ratio };
        assert!(wide.is_unsteady([6.0, 10.0], Measure::Time));
    }
}
