//! How much of something columns take, where that is no time.

use std::fmt;

use serde::Serialize;

use crate::report::{Quartiles, Verdict};

/// What the columns of a table take.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CountTable {
    /// What `--only` calls the work.
    pub key: &'static str,
    /// Which of the tables of that key.
    pub point: &'static str,
    /// Where its goals count.
    pub row: &'static str,
    /// What is counted of what.
    pub title: String,
    /// One for each column and each thing that is counted of it.
    pub counts: Vec<Tallied>,
}

/// How much one column takes of one thing.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Tallied {
    /// The column.
    pub name: &'static str,
    /// The thing.
    pub what: &'static str,
    /// Over all rounds.
    pub value: Quartiles,
    /// The most that it may be.
    pub most: Option<f64>,
    /// Whether it is not more.
    pub verdict: Option<Verdict>,
}

impl CountTable {
    pub(super) fn goals(&self) -> impl Iterator<Item = (&'static str, Verdict, String)> {
        self.counts.iter().filter_map(|count| {
            let Tallied { name, what, value, most, verdict } = count;
            let goal = format!(
                "{}-{}: {name}, {what} {:.0}, goal <= {:.0}",
                self.key,
                self.point,
                value.median,
                (*most)?
            );
            Some((self.row, (*verdict)?, goal))
        })
    }
}

impl fmt::Display for CountTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.key, self.title)?;
        let width = |text: fn(&Tallied) -> &str| {
            self.counts.iter().map(|count| text(count).len()).max().unwrap_or(0)
        };
        let (name, what) = (width(|count| count.name), width(|count| count.what));
        writeln!(f, "  {:<name$} {:<what$} {:>9} {:>9} {:>9}", "", "", "median", "lower", "upper")?;
        for count in &self.counts {
            let Quartiles { lower, median, upper } = count.value;
            write!(f, "  {:<name$} {:<what$}", count.name, count.what)?;
            let digits = if median >= 100.0 { 0 } else { 3 };
            write!(f, " {median:>9.digits$} {lower:>9.digits$} {upper:>9.digits$}")?;
            if let (Some(most), Some(verdict)) = (count.most, count.verdict) {
                write!(f, "   goal <= {most}: {verdict}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
