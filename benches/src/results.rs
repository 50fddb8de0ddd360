//! The results file: one line of JSON for each run, and the page that is made of it, by processor family.
//!
//! Two families order columns and layouts differently, so goals count for each family on which there were runs.

mod page;

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::report::{Measure, Place, Processor, Quartiles, Ratio, Report, Verdict};

pub use page::render;

/// Today by the system's clock, in UTC, as `2026-11-21`.
pub(crate) fn today() -> String {
    let mut now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.truncate("2026-11-21".len());
    now
}

/// One run, as the results file keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// When, as `2026-11-21`.
    pub date: String,
    /// The commit, with a `+` if the tree differed from it; `None` if git does not say.
    pub revision: Option<String>,
    /// On what.
    pub processor: Processor,
    /// How many cores the process could use.
    pub cores: usize,
    /// The load when the run began: above 0.5, others were at work.
    pub load: Option<f64>,
    /// A number there and back between two cores without a queue, in nanoseconds.
    pub raw_trip: f64,
    /// Each goal that was decided.
    pub goals: Vec<Goal>,
    /// The goals by row, with those that are not about a ratio.
    pub rows: Vec<Counted>,
    /// The median of each column of each table, in nanoseconds.
    pub medians: BTreeMap<String, BTreeMap<String, f64>>,
}

/// A goal about two columns, each at the point of a sweep where it is slowest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Goal {
    /// The row that it belongs to.
    pub row: String,
    /// The table, or the tables of the sweep.
    pub table: String,
    /// Our column.
    pub ours: Slowest,
    /// The other one.
    pub rival: Slowest,
    /// Whether the rival was chosen as the best of several.
    pub best: bool,
    /// What is divided.
    pub measure: Measure,
    /// What the ratio has to be.
    pub goal: String,
    /// The ratio.
    pub ratio: Quartiles,
    /// Whether it is what it has to be.
    pub verdict: Verdict,
}

/// Where a column was slowest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Slowest {
    /// The column.
    pub column: String,
    /// The point of the sweep, if there was one.
    pub point: Option<String>,
    /// The median there, in nanoseconds.
    pub nanoseconds: f64,
}

/// How many goals of a row were met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counted {
    /// The row.
    pub row: String,
    /// How many were.
    pub met: usize,
    /// How many were not.
    pub missed: usize,
}

impl Record {
    /// What the results file keeps of a report.
    #[must_use]
    pub fn of(report: &Report, date: String, revision: Option<String>) -> Record {
        let tables = report.tables.iter().map(|table| (table.row, table.slug(), &table.ratios));
        let sweeps =
            report.sweeps.iter().map(|sweep| (sweep.row, sweep.key.to_owned(), &sweep.ratios));
        let goals = tables.chain(sweeps).flat_map(|(row, table, ratios)| {
            ratios.iter().filter_map(move |ratio| Goal::of(row, &table, ratio))
        });
        let medians = report.tables.iter().map(|table| {
            let columns = table.figures.iter().filter_map(|figures| {
                Some((figures.name.to_owned(), rounded(figures.nanoseconds?.median)))
            });
            (table.slug(), columns.collect())
        });
        let rows = report.rows.iter().map(|row| Counted {
            row: row.name.to_owned(),
            met: row.met,
            missed: row.missed.len(),
        });
        Record {
            date,
            revision,
            processor: report.machine.processor.clone(),
            cores: report.machine.cores,
            load: report.machine.load,
            raw_trip: rounded(report.machine.raw_trip),
            goals: goals.collect(),
            rows: rows.collect(),
            medians: medians.collect(),
        }
    }

    /// The line of the results file, with its end.
    ///
    /// # Errors
    /// If a figure is not a number.
    pub fn line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|line| line + "\n")
    }
}

impl Goal {
    fn of(row: &str, table: &str, ratio: &Ratio) -> Option<Goal> {
        let [ours, rival] = ratio.worst.each_ref().map(|place| {
            let Place { column, point, nanoseconds } = place;
            let column = (*column).to_owned();
            Slowest { column, point: point.clone(), nanoseconds: rounded(*nanoseconds) }
        });
        let Quartiles { lower, median, upper } = ratio.ratio;
        let ratio_of = |figure: f64| (figure * 1e4).round() / 1e4;
        Some(Goal {
            row: row.to_owned(),
            table: table.to_owned(),
            ours,
            rival,
            best: ratio.best,
            measure: ratio.measure,
            goal: ratio.limit?.to_string(),
            ratio: Quartiles {
                lower: ratio_of(lower),
                median: ratio_of(median),
                upper: ratio_of(upper),
            },
            verdict: ratio.verdict?,
        })
    }

    fn is_unsteady(&self) -> bool {
        self.ratio.is_unsteady([self.ours.nanoseconds, self.rival.nanoseconds], self.measure)
    }

    /// The worse quartile, or the median where the goal is about that.
    fn worse(&self) -> f64 {
        match self.measure {
            _ if self.goal.ends_with("at the median") => self.ratio.median,
            Measure::Time => self.ratio.upper,
            Measure::Throughput => self.ratio.lower,
        }
    }
}

/// A hundredth of a nanosecond is less than a run can tell from the next.
fn rounded(nanoseconds: f64) -> f64 {
    (nanoseconds * 100.0).round() / 100.0
}

/// Reads a results file.
///
/// # Errors
/// With the first line that is not a run.
pub fn parse(text: &str) -> Result<Vec<Record>, BadLine> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let records = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|error| BadLine { number: number + 1, error })
    });
    records.collect()
}

/// A line of a results file that is not a run.
#[derive(Debug)]
pub struct BadLine {
    number: usize,
    error: serde_json::Error,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the results file is not a run: {}", self.number, self.error)
    }
}

impl std::error::Error for BadLine {}

/// The commit that the working directory is at, if git says so.
pub(crate) fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { commit + "+" })
}
