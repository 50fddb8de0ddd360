//! What a run found, as tables for people and as JSON for machines.

use std::fmt;

use serde::Serialize;

use crate::affinity::Cores;
use crate::options::Options;

/// All that a run found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Where it ran.
    pub machine: Machine,
    /// Costs an operation.
    pub tables: Vec<Table>,
    /// Times from emit to receive.
    pub latencies: Vec<LatencyTable>,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Report {
        Report { machine, tables: Vec::new(), latencies: Vec::new() }
    }

    /// The budgets, met and missed, in one place.
    pub(crate) fn summary(&self) -> String {
        let goals = self.tables.iter().flat_map(|table| &table.ratios);
        let goals: Vec<Verdict> = goals.filter_map(|ratio| ratio.verdict).collect();
        let met = goals.iter().filter(|verdict| **verdict == Verdict::Met).count();
        match self.machine.quick {
            true => "quick: every column moved every message; the times mean nothing\n".into(),
            false => format!("budgets: {met} of {} met\n", goals.len()),
        }
    }
}

/// Where a run was made.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Machine {
    /// The processor's name, if the system says it.
    pub processor: String,
    /// How many cores the process could use before its threads were pinned.
    pub cores: usize,
    /// What became of the wish to run on cores of its own.
    pub pinning: String,
    /// The load when the run began: tasks that run or want to, over the last minute.
    pub load: Option<f64>,
    /// Whether the run only checked.
    pub quick: bool,
}

impl Machine {
    pub(crate) fn look(cores: &Cores, options: &Options) -> Machine {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let processor =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Machine {
            processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
            cores: cores.count(),
            pinning: cores.granted(),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()),
            quick: options.quick,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "processor: {}", self.processor)?;
        writeln!(f, "pinning: {}", self.pinning)?;
        if let Some(load) = self.load {
            let warning =
                if load > 0.5 { ": others are at work here, trust ratios only" } else { "" };
            writeln!(f, "load at the start: {load}{warning}")?;
        }
        Ok(())
    }
}

/// One job, done by several columns.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// What `--only` calls it.
    pub key: &'static str,
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
    /// The figures that count: ours by a rival's, in the same round.
    pub ratios: Vec<Ratio>,
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
        for Figures { name, nanoseconds: Quartiles { lower, median, upper } } in &self.figures {
            writeln!(f, "  {name:<width$} {median:>9.2} {lower:>9.2} {upper:>9.2}")?;
        }
        if self.ratios.is_empty() {
            return Ok(());
        }
        let name = |ratio: &Ratio| format!("{} / {}", ratio.ours, ratio.rival);
        let width = self.ratios.iter().map(|ratio| name(ratio).len()).max().unwrap_or(0).max(20);
        writeln!(
            f,
            "  {:<width$} {:>9} {:>9} {:>9}",
            "ratio in a round", "median", "lower", "upper"
        )?;
        for ratio in &self.ratios {
            let Quartiles { lower, median, upper } = ratio.ratio;
            write!(f, "  {:<width$} {median:>9.2} {lower:>9.2} {upper:>9.2}", name(ratio))?;
            if let (Some(budget), Some(verdict)) = (ratio.budget, ratio.verdict) {
                write!(f, "   budget <= {budget}: {verdict}")?;
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
    /// Over all rounds, in nanoseconds.
    pub nanoseconds: Quartiles,
}

/// Two columns compared.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Ratio {
    /// The column above the line.
    pub ours: &'static str,
    /// The column below the line.
    pub rival: &'static str,
    /// Ours by the rival's time of the same round, over all rounds.
    pub ratio: Quartiles,
    /// The most that the upper quartile may be.
    pub budget: Option<f64>,
    /// Whether it is.
    pub verdict: Option<Verdict>,
    /// What ours should cost on the machine of the budgets, in nanoseconds.
    pub guide: Option<f64>,
}

/// What became of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The worse quartile is within it.
    Met,
    /// The worse quartile is not.
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

/// Times from emit to receive, by column.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LatencyTable {
    /// What is sent how.
    pub title: String,
    /// Messages in each round.
    pub operations: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// One for each column.
    pub rows: Vec<Percentiles>,
}

impl fmt::Display for LatencyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "latency: {}", self.title)?;
        writeln!(f, "  {} rounds of {} messages", self.rounds, self.operations)?;
        write!(f, "  {:<20} {:>9} {:>9} {:>9} {:>9}", "ns", "p50", "p99", "p99.9", "max")?;
        writeln!(f, "   {:>9} {:>9} {:>9}", "ours/p50", "lower", "upper")?;
        for row in &self.rows {
            write!(
                f,
                "  {:<20} {:>9} {:>9} {:>9} {:>9}",
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
    /// Our median of a round by this column's of the same round.
    pub ratio: Option<Quartiles>,
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
