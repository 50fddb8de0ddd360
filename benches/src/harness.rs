//! Rounds that alternate between columns, and what is made of their times.

use std::fmt;
use std::slice;
use std::time::Duration;

use crate::Failure;
use crate::goals::{Pair, Slowest};
use crate::options::Options;
use crate::report::{Figures, Place, Quartiles, Ratio, Section, SweepTable, Table};
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
    /// Measures its columns, and decides the goals that are judged here.
    pub(crate) fn measure(&mut self, options: &Options) -> Result<(Table, Times), Mismatch> {
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
        let columns = self.columns.iter().zip(&times).zip(&livelocked);
        let figures = columns.map(|((column, times), livelocked)| Figures {
            name: column.name(),
            nanoseconds: (!livelocked).then(|| Quartiles::of(times.iter().copied())),
        });
        let figures = figures.collect();
        let times = Times(times);
        let pairs = self.pairs.clone();
        let ratios = pairs.iter().map(|pair| {
            decide(options, slice::from_mut(self), slice::from_ref(&times), pair, pair.decides())
        });
        let ratios = ratios.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let table = Table {
            key: self.key,
            point: self.point.clone(),
            row: self.row,
            ratios,
            figures,
            title: self.title.clone(),
            timed: self.timed,
            operations: self.operations,
            rounds: options.rounds(),
        };
        Ok((table, times))
    }
}

/// What an operation of each round took, by column; not a number from where a column came to a standstill.
#[derive(Debug)]
pub(crate) struct Times(Vec<Vec<f64>>);

/// The points of a sweep, which differ in how their threads wait, and the goals over all of them.
pub(crate) struct Sweep {
    contests: Vec<Contest>,
    pairs: Vec<Pair>,
}

impl Sweep {
    /// `contest` makes each point. Its table prints the ratios of `pairs` without a verdict.
    pub(crate) fn over<W>(
        points: impl IntoIterator<Item = W>,
        pairs: Vec<Pair>,
        contest: impl Fn(W) -> Contest,
    ) -> Sweep {
        let contests = points.into_iter().map(|point| {
            let contest = contest(point);
            Contest { pairs: pairs.iter().map(|pair| pair.printed()).collect(), ..contest }
        });
        Sweep { contests: contests.collect(), pairs }
    }

    /// Measures every point and hands its table to `done`, and then the goals.
    pub(crate) fn measure(
        mut self,
        options: &Options,
        done: &mut dyn FnMut(Section) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut times = Vec::new();
        for contest in &mut self.contests {
            let (table, taken) = contest.measure(options)?;
            times.push(taken);
            done(Section::Table(table))?;
        }
        let mut ratios = Vec::new();
        for pair in self.pairs.iter().filter(|pair| pair.decides()) {
            ratios.extend(decide(options, &mut self.contests, &times, pair, true)?);
        }
        match self.contests.first() {
            Some(Contest { key, row, .. }) if !ratios.is_empty() => {
                done(Section::Sweep(SweepTable { key, row, ratios }))
            }
            _ => Ok(()),
        }
    }
}

/// A column at one point.
#[derive(Clone, Copy)]
struct Spot {
    contest: usize,
    column: usize,
    median: f64,
}

impl Slowest for Spot {
    fn median(&self) -> f64 {
        self.median
    }
}

/// The ratio of a pair over some points, if both of its columns took part in all of them: each column counts at its
/// slowest point. If it is to be decided, the two meet there again in a duel.
fn decide(
    options: &Options,
    contests: &mut [Contest],
    times: &[Times],
    pair: &Pair,
    again: bool,
) -> Result<Option<Ratio>, Mismatch> {
    let worst = |name: &str| {
        let mut worst: Option<Spot> = None;
        for (place, (contest, Times(times))) in contests.iter().zip(times).enumerate() {
            let column = contest.columns.iter().position(|column| column.name() == name)?;
            let median = Quartiles::of(times[column].iter().copied()).median;
            if times[column].iter().any(|time| time.is_nan()) {
                return None;
            }
            if worst.is_none_or(|worst| worst.median < median) {
                worst = Some(Spot { contest: place, column, median });
            }
        }
        worst
    };
    let Some(spots) = pair.worst(worst) else { return Ok(None) };
    let places = spots.map(|spot| Place {
        column: contests[spot.contest].columns[spot.column].name(),
        // A table alone names its point itself.
        point: contests[spot.contest].point.clone().filter(|_| contests.len() > 1),
        nanoseconds: spot.median,
    });
    let judged = !options.quick;
    if !again {
        let times = spots.map(|spot| times[spot.contest].0[spot.column].as_slice());
        return Ok(Some(pair.ratio(places, times, judged)));
    }
    let [ours, rival] = duel(options, contests, spots)?;
    Ok(Some(pair.ratio(places, [&ours, &rival], judged)))
}

/// Rounds of two columns in turn, with nothing between them. A virtual machine is another machine every few
/// milliseconds, and between the tables of a sweep lie seconds: only neighbouring rounds can be compared. That the
/// points were chosen by other rounds than those that decide also keeps a single slow moment from choosing them and
/// deciding at once.
fn duel(
    options: &Options,
    contests: &mut [Contest],
    spots: [Spot; 2],
) -> Result<[Vec<f64>; 2], Mismatch> {
    let times = rounds(options, 2, |turn| {
        let Spot { contest, column, .. } = spots[turn];
        let Contest { columns, operations, .. } = &mut contests[contest];
        let took = columns[column].round(*operations)?;
        Ok(took.as_secs_f64() * 1e9 / *operations as f64)
    })?;
    Ok(times.try_into().expect("there are two columns"))
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
    use crate::report::Verdict;

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

        let mut contest = Contest {
            pairs: vec![Pair::new("stuck", "stuck")],
            ..contest(vec![Box::new(Stuck(0))])
        };
        let (table, _) = contest.measure(&Options::default()).unwrap();
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

    /// Takes this many nanoseconds an operation.
    struct Steady(&'static str, u64);

    impl Column for Steady {
        fn name(&self) -> &'static str {
            self.0
        }

        fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
            Ok(Duration::from_nanos(self.1 * operations as u64))
        }
    }

    #[test]
    fn a_sweep_is_judged_where_each_column_is_slowest() {
        let points = [("busy", 2, 20), ("pauses", 9, 10), ("yield", 4, 12)];
        let sweep = |limit: f64| {
            let pairs = vec![Pair::new("ours", "rival").within(limit), Pair::new("rival", "ours")];
            Sweep::over(points, pairs, |(point, ours, rival)| Contest {
                point: Some(point.into()),
                ..contest(vec![Box::new(Steady("ours", ours)), Box::new(Steady("rival", rival))])
            })
        };
        let judged = |limit: f64| {
            let (mut tables, mut sweeps) = (Vec::new(), Vec::new());
            let options = Options::default();
            let mut done = |section| {
                match section {
                    Section::Table(table) => tables.push(table),
                    Section::Sweep(sweep) => sweeps.push(sweep),
                    _ => {}
                }
                Ok(())
            };
            sweep(limit).measure(&options, &mut done).unwrap();
            let ratios = tables.iter().flat_map(|table| &table.ratios);
            assert!(ratios.clone().all(|ratio| ratio.verdict.is_none()));
            assert_eq!((tables.len(), ratios.count(), sweeps.len()), (3, 6, 1));
            sweeps.remove(0)
        };
        // 9 ns at 16 pauses beside 20 ns busy, though at 16 pauses the ratio is 0.9.
        let printed = judged(0.5).to_string();
        let worst = "ours 9.00 ns at pauses, rival 20.00 ns at busy: time 0.45 (0.45 to 0.45)";
        assert!(printed.contains(worst), "{printed}");
        assert_eq!(judged(0.5).ratios[0].verdict, Some(Verdict::Met));
        assert_eq!(judged(0.4).ratios[0].verdict, Some(Verdict::Missed));
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
