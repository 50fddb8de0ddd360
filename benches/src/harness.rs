//! Rounds that alternate between columns, and what is made of their times.

use std::fmt;
use std::time::Duration;

use crate::options::Options;
use crate::report::{Figures, Quartiles, Ratio, Table, Verdict};
use crate::sample::Tally;

/// One implementation doing one job.
pub(crate) trait Column {
    /// What its rows are called.
    fn name(&self) -> &'static str;

    /// Does the job `operations` times, and says how long the timed part took.
    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch>;
}

/// Columns that do the same job, and what is said about them.
pub(crate) struct Contest {
    pub(crate) key: &'static str,
    pub(crate) title: String,
    /// What lies between the two looks at the clock.
    pub(crate) timed: &'static str,
    pub(crate) operations: usize,
    pub(crate) columns: Vec<Box<dyn Column>>,
    pub(crate) pairs: Vec<Pair>,
}

/// Two columns whose times of each round are divided.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) ours: &'static str,
    pub(crate) rival: &'static str,
    /// The most that the ratio may be.
    pub(crate) budget: Option<f64>,
    /// What ours should cost on the machine of the budgets, in nanoseconds.
    pub(crate) guide: Option<f64>,
}

impl Pair {
    pub(crate) const fn new(ours: &'static str, rival: &'static str) -> Pair {
        Pair { ours, rival, budget: None, guide: None }
    }

    pub(crate) const fn within(self, budget: f64) -> Pair {
        Pair { budget: Some(budget), ..self }
    }

    pub(crate) const fn guided(self, guide: f64) -> Pair {
        Pair { guide: Some(guide), ..self }
    }
}

impl Contest {
    pub(crate) fn measure(mut self, options: &Options) -> Result<Table, Mismatch> {
        self.columns.retain(|column| options.wants_column(column.name()));
        let times = rounds(options, self.columns.len(), |column| {
            let took = self.columns[column].round(self.operations)?;
            Ok(took.as_secs_f64() * 1e9 / self.operations as f64)
        })?;
        let of = |name| self.columns.iter().position(|column| column.name() == name);
        let ratios = self.pairs.iter().filter_map(|pair| {
            let (ours, rival) = (&times[of(pair.ours)?], &times[of(pair.rival)?]);
            let ratio = Quartiles::of(ours.iter().zip(rival).map(|(ours, rival)| ours / rival));
            Some(Ratio {
                ours: pair.ours,
                rival: pair.rival,
                ratio,
                budget: pair.budget,
                // A quick run's times mean nothing, so it judges none.
                verdict: pair
                    .budget
                    .filter(|_| !options.quick)
                    .map(|budget| Verdict::of(ratio.upper <= budget)),
                guide: pair.guide,
            })
        });
        let figures = self.columns.iter().zip(&times).map(|(column, times)| Figures {
            name: column.name(),
            nanoseconds: Quartiles::of(times.iter().copied()),
        });
        Ok(Table {
            key: self.key,
            ratios: ratios.collect(),
            figures: figures.collect(),
            title: self.title,
            timed: self.timed,
            operations: self.operations,
            rounds: options.rounds(),
        })
    }
}

/// Runs one round of each column in turn, beginning with another column each time, and returns what the rounds after
/// the warm-up gave, for each column.
pub(crate) fn rounds<R>(
    options: &Options,
    columns: usize,
    mut round: impl FnMut(usize) -> Result<R, Mismatch>,
) -> Result<Vec<Vec<R>>, Mismatch> {
    let mut results: Vec<Vec<R>> = (0..columns).map(|_| Vec::new()).collect();
    for number in 0..options.warm_up() + options.rounds() {
        for turn in 0..columns {
            let column = (number + turn) % columns;
            let result = round(column)?;
            if number >= options.warm_up() {
                results[column].push(result);
            }
        }
    }
    Ok(results)
}

/// A column did not move every message as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    column: &'static str,
    what: String,
}

impl Mismatch {
    pub(crate) fn new(column: &'static str, what: impl Into<String>) -> Mismatch {
        Mismatch { column, what: what.into() }
    }

    /// An error unless what arrived is what should have.
    pub(crate) fn check(
        column: &'static str,
        expected: Tally,
        found: Tally,
    ) -> Result<(), Mismatch> {
        if expected == found {
            return Ok(());
        }
        let what = format!(
            "{} messages with sum {:#018x} should have arrived, {} with sum {:#018x} did",
            expected.count, expected.sum, found.count, found.sum
        );
        Err(Mismatch { column, what })
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column `{}` did not do its work: {}", self.column, self.what)
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_alternate_and_begin_with_another_column_each_time() {
        let options = Options { rounds: Some(2), quick: true, ..Options::default() };
        let mut order = Vec::new();
        let results = rounds(&options, 3, |column| {
            order.push(column);
            Ok(order.len())
        });
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!(results, Ok(vec![vec![6, 8], vec![4, 9], vec![5, 7]]));
    }

    struct Loser;

    impl Column for Loser {
        fn name(&self) -> &'static str {
            "loser"
        }

        fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
            let expected = Tally::expected(operations, Tally::add);
            let found = Tally::expected(operations - 1, Tally::add);
            Mismatch::check(self.name(), expected, found)?;
            Ok(Duration::ZERO)
        }
    }

    #[test]
    fn a_lost_message_ends_the_run() {
        let contest = Contest {
            key: "emit",
            title: String::new(),
            timed: "",
            operations: 512,
            columns: vec![Box::new(Loser)],
            pairs: Vec::new(),
        };
        let error = contest.measure(&Options::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("column `loser` did not do its work: 512"),
            "{error}"
        );
    }
}
