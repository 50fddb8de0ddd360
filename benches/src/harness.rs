//! Columns, rounds that alternate between columns, and the tables made of their measurements.

use std::slice;
use std::time::Duration;

use crate::goals::{Figure, Pair};
use crate::options::Options;
use crate::report::{Counted, Figures, Header, Limit, Percentiles, Ratio, Table, WorstPoint};
use crate::sample::Tally;
use crate::stats::{Quartiles, Times};

/// One implementation of a job.
pub(crate) struct Column {
    /// The name of the column's rows.
    pub(crate) name: &'static str,
    round: Box<dyn FnMut(usize) -> Result<Round, Mismatch>>,
}

impl Column {
    /// Creates a column. `round` does the job this number of times, checks that every message
    /// arrived, and returns what was measured.
    pub(crate) fn new(
        name: &'static str,
        round: impl FnMut(usize) -> Result<Round, Mismatch> + 'static,
    ) -> Column {
        Column { name, round: Box::new(round) }
    }
}

/// The measurement of one round of a column.
#[derive(Debug)]
pub(crate) enum Round {
    /// The duration of the timed part.
    Total(Duration),
    /// The time of each operation.
    Each(Times),
    /// A quantity other than time, and its goal.
    Count(&'static str, f64, Option<Limit>),
}

impl Round {
    /// Returns the time of an operation in nanoseconds: the mean; or the median if each one was
    /// timed, because single messages have a long tail, which the system causes.
    fn nanoseconds(&self, operations: usize, figure: Figure) -> f64 {
        match self {
            Round::Total(took) => took.as_secs_f64() * 1e9 / operations as f64,
            Round::Each(times) if figure == Figure::Slow => times.quantile(0.99) as f64,
            Round::Each(times) => times.quantile(0.5) as f64,
            Round::Count(_, value, _) => *value,
        }
    }

    fn times(&self) -> Option<&Times> {
        if let Round::Each(times) = self { Some(times) } else { None }
    }
}

/// Columns that do the same job, and the goals about them.
pub(crate) struct Contest {
    pub(crate) header: Header,
    /// The part of the job that is timed.
    pub(crate) timed: &'static str,
    pub(crate) operations: usize,
    /// Our column is the first.
    pub(crate) columns: Vec<Column>,
    pub(crate) pairs: Vec<Pair>,
    /// Whether the columns count something other than time, in a single round.
    pub(crate) counts: bool,
}

impl Contest {
    pub(crate) fn new(key: &'static str, row: &'static str, title: impl Into<String>) -> Contest {
        let header = Header { key, point: None, row, title: title.into() };
        let (timed, operations, columns, pairs) = ("", 0, Vec::new(), Vec::new());
        Contest { header, timed, operations, columns, pairs, counts: false }
    }

    /// Names the point of the sweep.
    pub(crate) fn at(mut self, point: impl Into<String>) -> Contest {
        self.header.point = Some(point.into());
        self
    }

    /// Runs the rounds and decides the goals of this contest. Also returns the time of an
    /// operation, by column and round.
    fn measure(&mut self, options: &Options) -> Result<(Table, Vec<Vec<f64>>), Mismatch> {
        let only = &options.column;
        self.columns.retain(|it| only.is_empty() || only.iter().any(|only| only == it.name));
        let (operations, timed) = (self.operations, self.timed);
        let (warm_up, count) =
            if self.counts { (0, 1) } else { (options.warm_up(), options.rounds()) };
        let results = rounds(warm_up, count, self.columns.len(), |column| {
            (self.columns[column].round)(operations)
        })?;
        let header = self.header.clone();
        let mut table = Table { header, timed, operations, rounds: count, ..Table::default() };
        let mut times = Vec::new();
        for (&Column { name, .. }, rounds) in self.columns.iter().zip(&results) {
            if let [Round::Count(what, value, limit)] = rounds[..] {
                let limit = limit.filter(|_| !options.quick);
                let goal = limit.map(|limit| (limit, limit.verdict(Quartiles::of([value]))));
                table.counts.push(Counted { name, what, value, goal });
                continue;
            }
            let each: Vec<_> = rounds.iter().filter_map(Round::times).collect();
            let taken: Vec<_> =
                rounds.iter().map(|it| it.nanoseconds(operations, Figure::Round)).collect();
            let nanoseconds = Quartiles::of(taken.iter().copied());
            table.figures.push(Figures { name, nanoseconds, percentiles: Percentiles::of(&each) });
            times.push(taken);
        }
        for pair in self.pairs.clone() {
            let decided = decide(options, slice::from_mut(self), slice::from_ref(&times), &pair)?;
            table.ratios.extend(decided);
        }
        Ok((table, times))
    }
}

/// Contests at the points of a sweep, with the goals over all points; or a single contest.
pub(crate) struct Sweep {
    contests: Vec<Contest>,
    pairs: Vec<Pair>,
}

impl From<Contest> for Sweep {
    fn from(contest: Contest) -> Sweep {
        Sweep { contests: vec![contest], pairs: Vec::new() }
    }
}

impl Sweep {
    /// Makes a contest for each point. Its table prints the ratios of `pairs`; the goals are
    /// decided over all points.
    pub(crate) fn over<P>(
        points: impl IntoIterator<Item = P>,
        pairs: Vec<Pair>,
        contest: impl Fn(P) -> Contest,
    ) -> Sweep {
        let contests = points.into_iter().map(|point| {
            let pairs = pairs.iter().map(|pair| pair.printed()).collect();
            Contest { pairs, ..contest(point) }
        });
        Sweep { contests: contests.collect(), pairs }
    }

    /// Measures every point, passes each table to `done` as soon as it is complete, and then the
    /// goals.
    pub(crate) fn measure(
        mut self,
        options: &Options,
        done: &mut dyn FnMut(Table),
    ) -> Result<(), Mismatch> {
        let mut times = Vec::new();
        for contest in &mut self.contests {
            let (table, found) = contest.measure(options)?;
            done(table);
            times.push(found);
        }
        let mut ratios = Vec::new();
        for pair in self.pairs.iter().filter(|pair| pair.decides()) {
            ratios.extend(decide(options, &mut self.contests, &times, pair)?);
        }
        if let Some(first) = self.contests.first()
            && !ratios.is_empty()
        {
            let title = "worst points of the sweep".to_owned();
            let header = Header { point: None, title, ..first.header.clone() };
            done(Table { header, ratios, ..Table::default() });
        }
        Ok(())
    }
}

/// A column at one point of a sweep.
#[derive(Clone, Copy)]
struct Spot {
    contest: usize,
    column: usize,
    median: f64,
}

/// Returns the ratio of a pair over some points, if both columns took part in all of them. Each
/// column counts at its slowest point. If the pair has a goal, a duel of the two columns decides
/// it.
fn decide(
    options: &Options,
    contests: &mut [Contest],
    times: &[Vec<Vec<f64>>],
    pair: &Pair,
) -> Result<Option<Ratio>, Mismatch> {
    let worst = |name: &str| {
        let mut worst: Option<(f64, Spot)> = None;
        for (index, (contest, times)) in contests.iter().zip(times).enumerate() {
            let column = contest.columns.iter().position(|column| column.name == name)?;
            let median = Quartiles::of(times[column].iter().copied()).median;
            if worst.is_none_or(|(slowest, _)| slowest < median) {
                worst = Some((median, Spot { contest: index, column, median }));
            }
        }
        worst
    };
    let Some(spots) = pair.worst(worst) else { return Ok(None) };
    let mut points = spots.map(|spot| WorstPoint {
        column: contests[spot.contest].columns[spot.column].name.to_owned(),
        // A single contest has its point in the table's header, so only a sweep repeats it here.
        point: contests[spot.contest].header.point.clone().filter(|_| contests.len() > 1),
        nanoseconds: spot.median,
    });
    if pair.decides() && !options.quick {
        // Alternating rounds of these two columns only. The speed of a virtual machine changes
        // every few milliseconds, and seconds pass between the tables of a sweep, so only
        // neighbouring rounds are comparable. A duel also keeps one slow moment from choosing the
        // worst point and deciding the goal at once.
        let times = rounds(options.warm_up(), options.rounds(), 2, |turn| {
            let Contest { columns, operations, .. } = &mut contests[spots[turn].contest];
            let round = (columns[spots[turn].column].round)(*operations)?;
            Ok(round.nanoseconds(*operations, pair.figures()[turn]))
        })?;
        for (point, (figure, times)) in points.iter_mut().zip(pair.figures().iter().zip(&times)) {
            if *figure == Figure::Slow {
                point.column.push_str(", p99");
                point.nanoseconds = Quartiles::of(times.iter().copied()).median;
            }
        }
        return Ok(Some(pair.ratio(points, [&times[0], &times[1]], true)));
    }
    let times = spots.map(|spot| times[spot.contest][spot.column].as_slice());
    Ok(Some(pair.ratio(points, times, !options.quick)))
}

/// Runs rounds of all columns in turn, each time starting with another column, and returns the
/// results by column, without the warm-up.
fn rounds<R>(
    warm_up: usize,
    count: usize,
    columns: usize,
    mut round: impl FnMut(usize) -> Result<R, Mismatch>,
) -> Result<Vec<Vec<R>>, Mismatch> {
    let mut results: Vec<Vec<R>> = (0..columns).map(|_| Vec::new()).collect();
    for number in 0..warm_up + count {
        for turn in 0..columns {
            let column = (number + turn) % columns;
            let result = round(column)?;
            if number >= warm_up {
                results[column].push(result);
            }
        }
    }
    Ok(results)
}

/// The error of a column that lost, added, reordered or changed messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}` did not do its work: {what}")]
pub(crate) struct Mismatch {
    column: &'static str,
    what: String,
}

impl Mismatch {
    pub(crate) fn new(column: &'static str, what: impl Into<String>) -> Mismatch {
        Mismatch { column, what: what.into() }
    }

    /// Returns an error unless the found messages are the expected ones.
    pub(crate) fn check(
        column: &'static str,
        expected: Tally,
        found: Tally,
    ) -> Result<(), Mismatch> {
        if expected == found {
            return Ok(());
        }
        let what = format!(
            "expected {} messages with sum {:#018x}, found {} with sum {:#018x}",
            expected.count, expected.sum, found.count, found.sum
        );
        Err(Mismatch::new(column, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;
    use crate::sample::Item;

    fn contest(columns: Vec<Column>) -> Contest {
        Contest { operations: 512, columns, ..Contest::new("emit", "", "") }
    }

    /// Creates a column that takes this number of nanoseconds per operation.
    fn steady(name: &'static str, time: u64) -> Column {
        Column::new(name, move |operations| {
            Ok(Round::Total(Duration::from_nanos(time * operations as u64)))
        })
    }

    fn measured(sweep: impl Into<Sweep>) -> Result<Vec<Table>, Mismatch> {
        let mut tables = Vec::new();
        sweep.into().measure(&Options::default(), &mut |table| tables.push(table))?;
        Ok(tables)
    }

    #[test]
    fn rounds_alternate_and_begin_with_another_column_each_time() {
        let mut order = Vec::new();
        let results = rounds(1, 2, 3, |column| {
            order.push(column);
            Ok(order.len())
        });
        assert_eq!(order, [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert_eq!(results, Ok(vec![vec![6, 8], vec![4, 9], vec![5, 7]]));
    }

    #[test]
    fn a_sweep_is_judged_where_each_column_is_slowest() {
        let points = [("busy", 2, 20), ("pauses", 9, 10), ("yield", 4, 12)];
        let judged = |limit: f64| {
            let pairs = vec![Pair::new("ours", "rival").within(limit), Pair::new("rival", "ours")];
            let sweep = Sweep::over(points, pairs, |(point, ours, rival)| {
                contest(vec![steady("ours", ours), steady("rival", rival)]).at(point)
            });
            let mut tables = measured(sweep).unwrap();
            let sweep = tables.pop().unwrap();
            let ratios: Vec<_> = tables.iter().flat_map(|table| &table.ratios).collect();
            assert!(ratios.iter().all(|ratio| ratio.verdict.is_none()));
            assert_eq!((tables.len(), ratios.len()), (3, 6));
            sweep
        };
        // The ratio is 9 ns (at 16 pauses) to 20 ns (busy), although at 16 pauses alone it is 0.9.
        let printed = judged(0.5).to_string();
        let worst = "ours 9.00 ns at pauses, rival 20.00 ns at busy: time 0.45 (0.45 to 0.45)";
        assert!(printed.contains(worst), "{printed}");
        assert_eq!(judged(0.5).ratios[0].verdict, Some(Verdict::Met));
        assert_eq!(judged(0.4).ratios[0].verdict, Some(Verdict::Missed));
    }

    #[test]
    fn a_lost_message_ends_the_run() {
        let loser = |operations| {
            Mismatch::check("loser", u64::expected(operations), u64::expected(operations - 1))?;
            Ok(Round::Total(Duration::ZERO))
        };
        let error = measured(contest(vec![Column::new("loser", loser)])).unwrap_err();
        let expected = "column `loser` did not do its work: expected 512 messages";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
