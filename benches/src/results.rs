//! The results file: one line of JSON for each run, and the page made of it, by processor family.
//!
//! Processor families rank columns and memory layouts differently, so goals count by family.

mod page;

use std::process::Command;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::report::{Processor, Ratio, Report, Table};
use crate::stats::Quartiles;

pub use page::render;

/// Today in UTC, as `2026-11-21`.
pub(crate) fn today() -> String {
    let mut now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.truncate("2026-11-21".len());
    now
}

/// One run, as the results file stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The date, as `2026-11-21`.
    pub date: String,
    /// The commit, with a `+` if the tree differed from it; `None` without git.
    pub revision: Option<String>,
    /// The processor.
    pub processor: Processor,
    /// Number of cores that the process could use.
    pub cores: usize,
    /// Load average before the run; above 0.5 the machine was busy.
    pub load: Option<f64>,
    /// Round trip of a number between two cores without a queue, in nanoseconds.
    pub raw_trip: f64,
    /// Each goal that was decided.
    pub goals: Vec<Goal>,
}

/// A goal that was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// The row that the goal belongs to.
    pub row: String,
    /// The table, or the tables of the sweep.
    pub table: String,
    /// The comparison.
    #[serde(flatten)]
    pub ratio: Ratio,
}

impl Record {
    /// The part of a report that the results file stores.
    pub fn of(report: &Report, date: String, revision: Option<String>) -> Record {
        let goals = report.tables.iter().flat_map(|Table { header, ratios, .. }| {
            let decided = ratios.iter().filter(|ratio| ratio.verdict.is_some());
            decided.map(|ratio| Goal {
                row: header.row.to_owned(),
                table: header.slug(),
                ratio: shortened(ratio),
            })
        });
        Record {
            date,
            revision,
            processor: report.machine.processor.clone(),
            cores: report.machine.cores,
            load: report.machine.load,
            raw_trip: hundredths(report.machine.raw_trip),
            goals: goals.collect(),
        }
    }

    /// The line of the results file, with its line feed.
    ///
    /// # Errors
    /// If a figure is not a number.
    pub fn line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|line| line + "\n")
    }
}

/// Rounds a ratio to the digits that differ between runs.
fn shortened(ratio: &Ratio) -> Ratio {
    let mut short = ratio.clone();
    for point in [&mut short.ours, &mut short.rival] {
        point.nanoseconds = hundredths(point.nanoseconds);
    }
    let Quartiles { lower, median, upper } = ratio.ratio;
    let [lower, median, upper] = [lower, median, upper].map(|value| (value * 1e4).round() / 1e4);
    short.ratio = Quartiles { lower, median, upper };
    short
}

fn hundredths(nanoseconds: f64) -> f64 {
    (nanoseconds * 100.0).round() / 100.0
}

/// Reads a results file.
///
/// # Errors
/// With the first invalid line.
pub fn parse(text: &str) -> Result<Vec<Record>, BadLine> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let records = lines.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| BadLine { number: index + 1, error })
    });
    records.collect()
}

/// A line of a results file is not a run.
#[derive(Debug, thiserror::Error)]
#[error("line {number} of the results file is not a run: {error}")]
pub struct BadLine {
    number: usize,
    error: serde_json::Error,
}

/// The commit that is checked out, if git knows it.
pub(crate) fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { commit + "+" })
}
