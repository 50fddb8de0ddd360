//! A table, and how it prints.

use std::{fmt, iter};

use serde::Serialize;

use crate::report::{Limit, Ratio, Verdict};
use crate::stats::{Quartiles, Times};

/// The identity of a table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Header {
    /// The name that `--only` accepts.
    pub key: &'static str,
    /// Distinguishes the tables of one key, such as a point of a sweep.
    pub point: Option<String>,
    /// The row that the table's goals belong to.
    pub row: &'static str,
    /// The measured quantity.
    pub title: String,
}

impl Header {
    /// The name of the table in results.
    pub fn slug(&self) -> String {
        let point = self.point.as_ref().map_or(String::new(), |point| format!("-{point}"));
        format!("{}{point}", self.key)
    }
}

/// One job, done by several columns; or the goals of a sweep, where each column counts at its
/// slowest point.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// The identity of the table.
    #[serde(flatten)]
    pub header: Header,
    /// The part of the job that is timed.
    pub timed: &'static str,
    /// Operations in each round.
    pub operations: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// Time per operation, as a guide.
    pub figures: Vec<Figures>,
    /// Comparisons of the columns, round by round. They decide the goals.
    pub ratios: Vec<Ratio>,
    /// Quantities other than time.
    pub counts: Vec<Counted>,
}

/// Time per operation of one column.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The column.
    pub name: &'static str,
    /// The times of all rounds.
    pub nanoseconds: Quartiles,
    /// Only if each operation was timed.
    pub percentiles: Option<Percentiles>,
}

/// The times of single operations, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The 99.9th percentile.
    pub p999: u64,
    /// The slowest time.
    pub max: u64,
}

impl Percentiles {
    /// Returns the percentiles of all rounds, if there is a round.
    pub(crate) fn of(rounds: &[&Times]) -> Option<Percentiles> {
        let all = Times::all(rounds);
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| all.quantile(part));
        (!rounds.is_empty()).then(|| Percentiles { p50, p99, p999, max: all.max() })
    }
}

/// One quantity of one column.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    /// The column.
    pub name: &'static str,
    /// The quantity.
    pub what: &'static str,
    /// The number.
    pub value: f64,
    /// The goal, if it was decided.
    #[serde(skip)]
    pub(crate) goal: Option<(Limit, Verdict)>,
}

impl Table {
    /// The goals that were decided, in words.
    pub(super) fn goals(&self) -> impl Iterator<Item = (Verdict, String)> {
        let slug = self.header.slug();
        let ratios =
            self.ratios.iter().filter_map(|ratio| Some((ratio.verdict?, format!("{ratio}"))));
        let counts = self.counts.iter().filter_map(|Counted { name, what, value, goal }| {
            let (limit, verdict) = (*goal)?;
            Some((verdict, format!("{name}, {what} {value:.2}, goal {limit}")))
        });
        ratios.chain(counts).map(move |(verdict, goal)| (verdict, format!("{slug}: {goal}")))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { header: Header { key, title, .. }, timed, operations, rounds, .. } = self;
        writeln!(f, "{key}: {title}")?;
        if !self.figures.is_empty() {
            writeln!(f, "  timed: {timed}; {rounds} rounds of {operations} operations")?;
        }
        let rows = self.figures.iter().map(|Figures { name, nanoseconds, .. }| {
            let Quartiles { lower, median, upper } = nanoseconds;
            let cells = [median, lower, upper].map(|value| format!("{value:.2}"));
            iter::once((*name).to_owned()).chain(cells).collect()
        });
        grid(f, &["ns per operation", "median", "lower", "upper"], rows.collect())?;
        let rows = self.figures.iter().filter_map(|Figures { name, percentiles, .. }| {
            let Percentiles { p50, p99, p999, max } = percentiles.as_ref()?;
            let cells = [p50, p99, p999, max].map(u64::to_string);
            Some(iter::once((*name).to_owned()).chain(cells).collect())
        });
        grid(f, &["ns", "p50", "p99", "p99.9", "max"], rows.collect())?;
        for ratio in &self.ratios {
            write!(f, "  {ratio}")?;
            ratio.verdict.iter().try_for_each(|verdict| write!(f, ": {verdict}"))?;
            writeln!(f, "{}", if ratio.is_unsteady() { "   unsteady" } else { "" })?;
        }
        let rows = self.counts.iter().map(|Counted { name, what, value, goal }| {
            let mut row = vec![format!("{name}: {what}"), format!("{value:.2}")];
            row.extend(goal.map(|(limit, verdict)| format!("goal {limit}: {verdict}")));
            row
        });
        grid(f, &["count", "each"], rows.collect())
    }
}

/// Writes a table of rows below a heading, if there are rows. The first column is aligned left, the
/// others right. A row may have one cell more than the heading: a note.
fn grid(f: &mut fmt::Formatter<'_>, heading: &[&str], rows: Vec<Vec<String>>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let lines = || iter::once(&heading).chain(&rows);
    let widest = |column: usize| lines().filter_map(move |row| Some(row.get(column)?.len())).max();
    let widths: Vec<_> = (0..heading.len()).map(|column| widest(column).unwrap_or(0)).collect();
    for row in lines() {
        write!(f, " ")?;
        for (column, cell) in row.iter().enumerate() {
            match widths.get(column) {
                Some(width) if column == 0 => write!(f, " {cell:<width$}")?,
                Some(width) => write!(f, " {cell:>width$}", width = width.max(&9))?,
                None => write!(f, "   {cell}")?,
            }
        }
        writeln!(f)?;
    }
    Ok(())
}
