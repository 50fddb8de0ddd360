//! Rounds that alternate between columns, and what is made of their times.

use std::fmt;
use std::time::Duration;

use crate::goals::Pair;
use crate::options::Options;
use crate::report::{Figures, Quartiles, Ratio, Table};
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
    /// What `--only` calls it.
    pub(crate) key: &'static str,
    /// Which of the tables of that key: the point of a sweep.
    pub(crate) point: Option<String>,
    /// Where its goals count.
    pub(crate) row: &'static str,
    pub(crate) title: String,
    /// What lies between the two looks at the clock.
    pub(crate) timed: &'static str,
    pub(crate) operations: usize,
    pub(crate) columns: Vec<Box<dyn Column>>,
    pub(crate) pairs: Vec<Pair>,
}

impl Contest {
    pub(crate) fn measure(mut self, options: &Options) -> Result<Table, Mismatch> {
        self.columns.retain(|column| options.wants_column(column.name()));
        let mut livelocked = vec![false; self.columns.len()];
        let times = rounds(options, self.columns.len(), |column| {
            if livelocked[column] {
                return Ok(f64::NAN);
            }
            match self.columns[column].round(self.operations) {
                Ok(took) => Ok(took.as_secs_f64() * 1e9 / self.operations as f64),
                Err(mismatch) if mismatch.livelock => {
                    livelocked[column] = true;
                    Ok(f64::NAN)
                }
                Err(mismatch) => Err(mismatch),
            }
        })?;
        let columns = || self.columns.iter().zip(&times).zip(&livelocked);
        let times_of = |name: &str| {
            columns()
                .find(|((column, _), livelocked)| column.name() == name && !**livelocked)
                .map(|((_, times), _)| times.as_slice())
        };
        // A quick run's times mean nothing, so it judges none.
        let judged = !options.quick;
        let ratios =
            self.pairs.iter().filter_map(|pair| Some((*pair, pair.ratio(times_of, judged)?)));
        let ratios: Vec<_> = ratios.collect();
        let figures = columns().map(|((column, times), livelocked)| Figures {
            name: column.name(),
            nanoseconds: (!livelocked).then(|| Quartiles::of(times.iter().copied())),
        });
        let figures: Vec<_> = figures.collect();
        let mut decided = Vec::new();
        for (pair, ratio) in ratios {
            let again = ratio.verdict.is_some() && ratio.ours != ratio.rival;
            decided.push(if again {
                let Contest { columns, operations, .. } = &mut self;
                duel(options, columns, *operations, &pair, &ratio)?
            } else {
                ratio
            });
        }
        Ok(Table {
            key: self.key,
            point: self.point,
            row: self.row,
            ratios: decided,
            figures,
            title: self.title,
            timed: self.timed,
            operations: self.operations,
            rounds: options.rounds(),
        })
    }
}

/// Rounds of the two columns of a goal in turn, with nothing between them. A virtual machine is another machine every
/// few milliseconds; in a table of many columns one would meet this state of it, the other that.
fn duel(
    options: &Options,
    columns: &mut [Box<dyn Column>],
    operations: usize,
    pair: &Pair,
    ratio: &Ratio,
) -> Result<Ratio, Mismatch> {
    let names = [ratio.ours, ratio.rival];
    let places = names.map(|name| columns.iter().position(|column| column.name() == name));
    let [Some(ours), Some(rival)] = places else { return Ok(ratio.clone()) };
    let times = rounds(options, 2, |turn| {
        let took = columns[[ours, rival][turn]].round(operations)?;
        Ok(took.as_secs_f64() * 1e9 / operations as f64)
    })?;
    let times_of = |name: &str| {
        names.iter().position(|known| *known == name).map(|place| times[place].as_slice())
    };
    Ok(pair.ratio(times_of, true).unwrap_or_else(|| ratio.clone()))
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
    /// It is known to stop for good now and then, and the run goes on without it.
    livelock: bool,
}

impl Mismatch {
    pub(crate) fn new(column: &'static str, what: impl Into<String>) -> Mismatch {
        Mismatch { column, what: what.into(), livelock: false }
    }

    pub(crate) fn livelock(column: &'static str) -> Mismatch {
        Mismatch { livelock: true, ..Mismatch::new(column, "nothing moves any more") }
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
        Err(Mismatch::new(column, what))
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

    #[test]
    fn a_livelocked_column_takes_part_no_more() {
        struct Stuck(usize);

        impl Column for Stuck {
            fn name(&self) -> &'static str {
                "stuck"
            }

            fn round(&mut self, _operations: usize) -> Result<Duration, Mismatch> {
                self.0 += 1;
                assert!(self.0 < 3, "it takes part though it is stuck");
                if self.0 == 2 { Err(Mismatch::livelock("stuck")) } else { Ok(Duration::ZERO) }
            }
        }

        let contest = Contest {
            pairs: vec![Pair::new("stuck", "stuck")],
            ..contest(vec![Box::new(Stuck(0))])
        };
        let table = contest.measure(&Options::default()).unwrap();
        assert!(table.figures[0].nanoseconds.is_none() && table.ratios.is_empty(), "{table}");
    }

    fn contest(columns: Vec<Box<dyn Column>>) -> Contest {
        Contest {
            key: "emit",
            point: None,
            row: "",
            title: String::new(),
            timed: "",
            operations: 512,
            columns,
            pairs: Vec::new(),
        }
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
        let error = contest(vec![Box::new(Loser)]).measure(&Options::default()).unwrap_err();
        assert!(
            error.to_string().starts_with("column `loser` did not do its work: 512"),
            "{error}"
        );
    }
}
