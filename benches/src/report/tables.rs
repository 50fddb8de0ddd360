//! The kinds of tables, and how they print.

use std::{fmt, iter};

use serde::Serialize;

use crate::report::{Ratio, Verdict};
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
    /// The name of the table in file names and results.
    #[must_use]
    pub fn slug(&self) -> String {
        self.slug_of("")
    }

    /// The same with the kind of the table, such as `-latency`.
    pub(crate) fn slug_of(&self, kind: &str) -> String {
        let point = self.point.as_ref().map_or(String::new(), |point| format!("-{point}"));
        format!("{}{kind}{point}", self.key)
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
    /// Over all rounds; `None` if the column livelocked.
    pub nanoseconds: Option<Quartiles>,
}

impl Table {
    pub(super) fn goals(&self) -> impl Iterator<Item = (&'static str, Verdict, String)> {
        goals(&self.header, &self.ratios)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { header: Header { key, title, .. }, timed, operations, rounds, .. } = self;
        writeln!(f, "{key}: {title}")?;
        writeln!(f, "  timed: {timed}; {rounds} rounds of {operations} operations")?;
        let rows = self.figures.iter().map(|row| match row.nanoseconds {
            Some(nanoseconds) => quartiles(row.name, nanoseconds, 2),
            None => vec![row.name.into(), "livelock".into()],
        });
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
            row.extend(ratio.guide.map(|guide| format!("guide <= {guide} ns")));
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

impl SweepTable {
    pub(super) fn goals(&self) -> impl Iterator<Item = (&'static str, Verdict, String)> {
        goals(&self.header, &self.ratios)
    }
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

fn goals(
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
    /// 99.99 %.
    pub p9999: u64,
    /// The slowest message.
    pub max: u64,
    /// More percentiles, for a chart.
    pub curve: Vec<Point>,
    /// Median of our column divided by the median of this one, by round.
    pub ratio: Option<Quartiles>,
}

/// A point of a curve of percentiles.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Point {
    /// The part of the messages, between 0 and 1.
    pub quantile: f64,
    /// The time that they do not exceed.
    pub nanoseconds: u64,
}

impl Percentiles {
    pub(crate) fn of(name: &'static str, rounds: &[&Times], ours: Option<&[&Times]>) -> Self {
        const CURVE: [f64; 11] =
            [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999];
        let all: Times = rounds.iter().copied().collect();
        let ratio = |ours: &[&Times]| {
            let medians = ours.iter().zip(rounds).map(|pair| (pair.0.quantile(0.5), pair.1));
            Quartiles::of(medians.map(|(ours, rival)| ours as f64 / rival.quantile(0.5) as f64))
        };
        let point = |quantile| Point { quantile, nanoseconds: all.quantile(quantile) };
        Percentiles {
            name,
            p50: all.quantile(0.5),
            p99: all.quantile(0.99),
            p999: all.quantile(0.999),
            p9999: all.quantile(0.9999),
            max: all.max(),
            curve: CURVE.map(point).into(),
            ratio: ours.map(ratio),
        }
    }
}

impl fmt::Display for LatencyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "latency: {}", self.header.title)?;
        writeln!(f, "  {} rounds of {} messages", self.rounds, self.operations)?;
        let rows = self.rows.iter().map(|row| {
            let times = [row.p50, row.p99, row.p999, row.p9999, row.max];
            let times = times.map(|time| time.to_string());
            let ratio = row.ratio.map(|ratio| quartiles("", ratio, 2).into_iter().skip(1));
            let ratio = ratio.into_iter().flatten();
            iter::once(row.name.to_owned()).chain(times).chain(ratio).collect()
        });
        let heading = ["ns", "p50", "p99", "p99.9", "p99.99", "max", "ours/p50", "lower", "upper"];
        grid(f, &heading, &rows.collect::<Vec<_>>())
    }
}

/// Times of single messages against the offered load, by column.
#[derive(Clone, Debug, Serialize)]
pub struct LoadTable {
    /// Its identity.
    #[serde(flatten)]
    pub header: Header,
    /// Rounds that count.
    pub rounds: usize,
    /// One for each column.
    pub curves: Vec<LoadCurve>,
}

/// One column under increasing load.
#[derive(Clone, Debug, Serialize)]
pub struct LoadCurve {
    /// The column.
    pub name: &'static str,
    /// In ascending order of load.
    pub points: Vec<LoadPoint>,
    /// The last load before the median exceeds ten times the median at the least load.
    pub knee: Option<u64>,
}

/// The times of a column under one load, in nanoseconds from when a message was due.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LoadPoint {
    /// Messages due per second.
    pub offered: u64,
    /// The median.
    pub p50: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
}

impl LoadPoint {
    pub(crate) fn of(offered: u64, times: &Times) -> LoadPoint {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| times.quantile(quantile));
        LoadPoint { offered, p50, p99, p999 }
    }
}

impl LoadCurve {
    pub(crate) fn of(name: &'static str, points: Vec<LoadPoint>) -> LoadCurve {
        // Above the knee messages queue up for as long as the load lasts. The median shows this;
        // the tail is long on a busy machine at any load.
        const KNEE: u64 = 10;
        let least = points.first().map_or(0, |point| point.p50);
        let before = points.iter().take_while(|point| point.p50 <= KNEE * least);
        LoadCurve { name, knee: before.last().map(|point| point.offered), points }
    }
}

impl fmt::Display for LoadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "load: {}", self.header.title)?;
        writeln!(f, "  {} rounds; ns from when a message was due: p50 / p99 / p99.9", self.rounds)?;
        let names = self.curves.iter().map(|curve| curve.name);
        let heading: Vec<_> = iter::once("messages/s").chain(names).collect();
        let row = |first: String, cell: &dyn Fn(&LoadCurve) -> String| {
            iter::once(first).chain(self.curves.iter().map(cell)).collect::<Vec<_>>()
        };
        let points = self.curves.first().map_or([].as_slice(), |curve| &curve.points);
        let rows = points.iter().enumerate().map(|(index, point)| {
            row(point.offered.to_string(), &|curve| {
                let LoadPoint { p50, p99, p999, .. } = curve.points[index];
                format!("{p50} / {p99} / {p999}")
            })
        });
        let knee = row("knee".into(), &|curve| curve.knee.unwrap_or(0).to_string());
        grid(f, &heading, &rows.chain([knee]).collect::<Vec<_>>())
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
    /// Over all rounds.
    pub value: Quartiles,
    /// The goal in words.
    pub goal: Option<String>,
    /// Whether it is met, if it was decided.
    pub verdict: Option<Verdict>,
}

impl CountTable {
    pub(super) fn goals(&self) -> impl Iterator<Item = (&'static str, Verdict, String)> {
        let slug = self.header.slug();
        self.counts.iter().filter_map(move |Counted { name, what, value, goal, verdict }| {
            let goal =
                format!("{slug}: {name}, {what} {:.2}, goal {}", value.median, goal.as_ref()?);
            Some((self.header.row, (*verdict)?, goal))
        })
    }
}

impl fmt::Display for CountTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.header.key, self.header.title)?;
        let rows = self.counts.iter().map(|Counted { name, what, value, goal, verdict }| {
            let digits = if value.median >= 100.0 { 0 } else { 3 };
            let mut row = quartiles(format!("{name}: {what}"), *value, digits);
            if let (Some(goal), Some(verdict)) = (goal, verdict) {
                row.push(format!("goal {goal}: {verdict}"));
            }
            row
        });
        grid(f, &["count", "median", "lower", "upper"], &rows.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_the_last_load_before_the_median_rises() {
        let knee = |medians: &[u64]| {
            let point = |(index, p50): (usize, &u64)| LoadPoint {
                offered: 1 << index,
                p50: *p50,
                p99: 0,
                p999: 0,
            };
            LoadCurve::of("one", medians.iter().enumerate().map(point).collect()).knee
        };
        assert_eq!(knee(&[20, 9, 30, 201, 8, 9000]), Some(4));
        assert_eq!(knee(&[20, 9, 30]), Some(4));
        assert_eq!(knee(&[]), None);
    }
}
