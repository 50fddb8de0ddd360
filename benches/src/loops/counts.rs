//! Counts instead of times.

use crate::harness::{Mismatch, rounds};
use crate::options::Options;
use crate::report::{CountTable, Quartiles, Tallied, Verdict};

/// Columns that are counted.
pub(crate) struct Counts {
    pub(crate) key: &'static str,
    pub(crate) point: &'static str,
    /// Where its goals count.
    pub(crate) row: &'static str,
    pub(crate) title: String,
    pub(crate) operations: usize,
    pub(crate) columns: Vec<Box<dyn Counted>>,
}

/// One implementation, with what it spends.
pub(crate) trait Counted {
    fn name(&self) -> &'static str;

    /// Moves so many messages, or some more, and says what that takes.
    fn count(&mut self, operations: usize) -> Result<Vec<Count>, Mismatch>;
}

/// How much there was of something.
pub(crate) struct Count {
    what: &'static str,
    value: f64,
    most: Option<f64>,
}

impl Count {
    pub(crate) const fn new(what: &'static str, value: f64) -> Count {
        Count { what, value, most: None }
    }

    /// There may be at most so much of it.
    pub(crate) const fn within(self, most: f64) -> Count {
        Count { most: Some(most), ..self }
    }
}

impl Counts {
    pub(crate) fn measure(mut self, options: &Options) -> Result<CountTable, Mismatch> {
        self.columns.retain(|column| options.wants_column(column.name()));
        let counted = rounds(options, self.columns.len(), |column| {
            self.columns[column].count(self.operations)
        })?;
        let mut counts = Vec::new();
        for (column, rounds) in self.columns.iter().zip(&counted) {
            for (place, Count { what, most, .. }) in rounds.iter().take(1).flatten().enumerate() {
                let value = Quartiles::of(rounds.iter().map(|round| round[place].value));
                let judged = most.filter(|_| !options.quick);
                let verdict = judged.map(|most| Verdict::of(value.upper <= most));
                counts.push(Tallied { name: column.name(), what, value, most: *most, verdict });
            }
        }
        Ok(CountTable {
            key: self.key,
            point: self.point,
            row: self.row,
            title: self.title,
            counts,
        })
    }
}
