//! Whether every thread gets its share when more threads want a ring than there are cores.

use std::fmt;

use serde::Serialize;

use crate::report::Verdict;

/// What each thread got over each window of a run, by column.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FairnessTable {
    /// How many senders and receivers there are, as part of a file's name.
    pub point: String,
    /// Who shares what with whom.
    pub title: String,
    /// Where its goals count.
    pub row: &'static str,
    /// How long a window is, in milliseconds.
    pub window: u128,
    /// How many windows there were.
    pub windows: usize,
    /// One for each column.
    pub shares: Vec<Share>,
}

/// What the worst served thread of a column got.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Share {
    /// The column.
    pub name: &'static str,
    /// Items moved in a second, in millions.
    pub throughput: f64,
    /// The least that any sender sent in any window, by what it would be if all senders sent the same.
    pub senders: f64,
    /// The same for receivers.
    pub receivers: f64,
    /// The least that either may be.
    pub least: f64,
    /// Whether it is not less; nobody judges a rival.
    pub verdict: Option<Verdict>,
}

impl FairnessTable {
    /// The name of a file about this table, without its ending.
    #[must_use]
    pub fn slug(&self) -> String {
        format!("fairness-{}", self.point)
    }

    pub(super) fn goals(&self) -> impl Iterator<Item = (&'static str, Verdict, String)> {
        self.shares.iter().filter_map(|share| {
            let Share { name, senders, receivers, least, .. } = share;
            let goal = format!(
                "{}: {name}, least share {:.2}, goal >= {least}",
                self.slug(),
                senders.min(*receivers)
            );
            Some((self.row, share.verdict?, goal))
        })
    }
}

impl fmt::Display for FairnessTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "fairness: {}", self.title)?;
        writeln!(f, "  {} windows of {} ms", self.windows, self.window)?;
        let width = self.shares.iter().map(|share| share.name.len()).max().unwrap_or(0).max(26);
        write!(f, "  {:<width$} {:>9}", "least part of a fair share", "senders")?;
        writeln!(f, " {:>9} {:>9}", "receivers", "M items/s")?;
        for Share { name, throughput, senders, receivers, least, verdict } in &self.shares {
            write!(f, "  {name:<width$} {senders:>9.2} {receivers:>9.2} {throughput:>9.1}")?;
            if let Some(verdict) = verdict {
                write!(f, "   goal >= {least}: {verdict}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
