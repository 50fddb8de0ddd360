//! The kinds of tables, and how they print.

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
    /// The row that its goals belong to.
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

/// Writes rows of cells below a heading. The first column is aligned left, the others right. A
/// cell beyond the heading is a note.
fn grid(f: &mut fmt::Formatter<'_>, heading: &[&str], rows: &[Vec<String>]) -> fmt::Result {
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let lines = || iter::once(&heading).chain(rows);
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

/// A row of a grid: a name and quartiles.
fn quartiles(name: impl Into<String>, value: Quartiles, digits: usize) -> Vec<String> {
    let Quartiles { lower, median, upper } = value;
    let cells = [median, lower, upper].map(|value| format!("{value:.digits$}"));
    iter::once(name.into()).chain(cells).collect()
}

/// One job, done by several columns.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Its identity.
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
    /// Comparisons by round, which are what counts.
    pub ratios: Vec<Ratio>,
}

/// Time per operation of one column.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The column.
    pub name: &'static str,
    /// Over all rounds.
    pub nanoseconds: Quartiles,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { header: Header { key, title, .. }, timed, operations, rounds, .. } = self;
        writeln!(f, "{key}: {title}")?;
        writeln!(f, "  timed: {timed}; {rounds} rounds of {operations} operations")?;
        let rows = self.figures.iter().map(|row| quartiles(row.name, row.nanoseconds, 2));
        let rows: Vec<_> = rows.collect();
        grid(f, &["ns per operation", "median", "lower", "upper"], &rows)?;
        if self.ratios.is_empty() {
            return Ok(());
        }
        let rows = self.ratios.iter().map(|ratio| {
            let mut row = quartiles(ratio.name(), ratio.ratio, 2);
            if let (Some(goal), Some(verdict)) = (&ratio.goal, ratio.verdict) {
                row.push(format!("goal {goal}: {verdict}"));
            }
            row.extend(ratio.is_unsteady().then(|| "unsteady".into()));
            row
        });
        grid(f, &["ratio of a round", "median", "lower", "upper"], &rows.collect::<Vec<_>>())
    }
}

/// The goals of a sweep: each column counts at its slowest point.
#[derive(Clone, Debug, Serialize)]
pub struct SweepTable {
    /// The identity of its tables.
    #[serde(flatten)]
    pub header: Header,
    /// The comparisons.
    pub ratios: Vec<Ratio>,
}

impl fmt::Display for SweepTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: worst points of the sweep", self.header.key)?;
        for ratio in &self.ratios {
            write!(f, "  {ratio}")?;
            ratio.goal.iter().try_for_each(|goal| write!(f, ", goal {goal}"))?;
            ratio.verdict.iter().try_for_each(|verdict| write!(f, ": {verdict}"))?;
            writeln!(f, "{}", if ratio.is_unsteady() { "   unsteady" } else { "" })?;
        }
        Ok(())
    }
}

/// The goals that were decided: their row, and what was found.
pub(super) fn goals(
    header: &Header,
    ratios: &[Ratio],
) -> impl Iterator<Item = (&'static str, Verdict, String)> {
    let (row, slug) = (header.row, header.slug());
    ratios.iter().filter_map(move |ratio| {
        let goal = format!("{slug}: {ratio}, goal {}", ratio.goal.as_ref()?);
        Some((row, ratio.verdict?, goal))
    })
}

/// Times of single messages, by column.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyTable {
    /// Its identity.
    #[serde(flatten)]
    pub header: Header,
    /// Messages in each round.
    pub operations: usize,
    /// Rounds that count.
    pub rounds: usize,
    /// One for each column; ours is the first.
    pub rows: Vec<Percentiles>,
}

/// The times of one column, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Percentiles {
    /// The column.
    pub name: &'static str,
    /// The median.
    pub p50: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The slowest message.
    pub max: u64,
    /// Median of our column divided by the median of this one, by round.
    pub ratio: Option<Quartiles>,
}

impl Percentiles {
    pub(crate) fn of(name: &'static str, rounds: &[&Times], ours: Option<&[&Times]>) -> Self {
        let all = Times::all(rounds);
        let ratio = |ours: &[&Times]| {
            let medians = ours.iter().zip(rounds).map(|pair| (pair.0.quantile(0.5), pair.1));
            Quartiles::of(medians.map(|(ours, rival)| ours as f64 / rival.quantile(0.5) as f64))
        };
        Percentiles {
            name,
            p50: all.quantile(0.5),
            p99: all.quantile(0.99),
            p999: all.quantile(0.999),
            max: all.max(),
            ratio: ours.map(ratio),
        }
    }
}

impl fmt::Display for LatencyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "latency: {}", self.header.title)?;
        writeln!(f, "  {} rounds of {} messages", self.rounds, self.operations)?;
        let rows = self.rows.iter().map(|row| {
            let times = [row.p50, row.p99, row.p999, row.max];
            let times = times.map(|time| time.to_string());
            let ratio = row.ratio.map(|ratio| quartiles("", ratio, 2).into_iter().skip(1));
            let ratio = ratio.into_iter().flatten();
            iter::once(row.name.to_owned()).chain(times).chain(ratio).collect()
        });
        let heading = ["ns", "p50", "p99", "p99.9", "max", "ours/p50", "lower", "upper"];
        grid(f, &heading, &rows.collect::<Vec<_>>())
    }
}

/// Quantities other than time, by column.
#[derive(Clone, Debug, Serialize)]
pub struct CountTable {
    /// Its identity.
    #[serde(flatten)]
    pub header: Header,
    /// One for each column and quantity.
    pub counts: Vec<Counted>,
}

/// One quantity of one column.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    /// The column.
    pub name: &'static str,
    /// The quantity.
    pub what: &'static str,
    /// The number, of instructions per operation.
    pub value: f64,
    /// The goal, if it was decided.
    #[serde(skip)]
    pub(crate) goal: Option<(Limit, Verdict)>,
}

impl CountTable {
    pub(super) fn goals(&self) -> impl Iterator<Item = (&'static str, Verdict, String)> {
        let slug = self.header.slug();
        self.counts.iter().filter_map(move |Counted { name, what, value, goal }| {
            let (limit, verdict) = (*goal)?;
            let goal = format!("{slug}: {name}, {what} {value:.2}, goal {limit}");
            Some((self.header.row, verdict, goal))
        })
    }
}

impl fmt::Display for CountTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.header.key, self.header.title)?;
        let rows = self.counts.iter().map(|Counted { name, what, value, goal }| {
            let mut row = vec![format!("{name}: {what}"), format!("{value:.2}")];
            row.extend(goal.map(|(limit, verdict)| format!("goal {limit}: {verdict}")));
            row
        });
        grid(f, &["count", "each"], &rows.collect::<Vec<_>>())
    }
}
