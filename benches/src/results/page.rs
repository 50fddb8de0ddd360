//! The page about the results file: a table for each processor family.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::report::{Measure, Quartiles, Verdict};
use crate::results::{Goal, Record, Slowest};

const HEAD: &str = "\
# Results by processor family

Made by `--page` from `benches/results.jsonl`, to which a run adds a line with `--append`; do not edit it
(`performance.md` says how to run both, and what the tables are). Goals count for each family of processors on which
there were runs.

A line is a goal. *Median* is the median of the ratios of all runs; *worst run* is the worse quartile of the run in which
it was worst (the median, where the goal is about that), with the point of the sweep at which each column was slowest.
The *state* is *met* if the goal was met in every run that was judged by it, and *missed* if in none; a run is *unsteady*
if the quartiles of the ratio are far apart, or if it is far from the ratio of the medians beside it.
";

/// The page about these runs, in Markdown.
#[must_use]
pub fn render(records: &[Record]) -> String {
    let mut page = HEAD.to_owned();
    let families: BTreeSet<_> = records.iter().map(|record| record.processor.family()).collect();
    if families.is_empty() {
        page += "\nThere are no runs yet.\n";
    }
    for family in families {
        let runs = records.iter().filter(|record| record.processor.family() == family);
        page += &section(&family, &runs.collect::<Vec<_>>());
    }
    page
}

fn section(family: &str, runs: &[&Record]) -> String {
    let distinct = |of: fn(&Record) -> String| {
        let set: BTreeSet<_> = runs.iter().map(|run| of(run)).collect();
        set.into_iter().collect::<Vec<_>>().join(", ")
    };
    let trips = runs.iter().map(|run| run.raw_trip);
    let Quartiles { median, .. } = Quartiles::of(trips.clone());
    let (least, most) = (trips.clone().fold(f64::INFINITY, f64::min), trips.fold(0.0, f64::max));
    let busy = runs.iter().filter(|run| run.load.is_none_or(|load| load > 0.5)).count();
    let mut text = format!("\n## {family}\n\n");
    let _ = write!(
        text,
        "Runs: {} ({}). Processors: {}. Commits: {}. Raw round trip: median {median:.0} ns ({least:.0} to {most:.0}). Runs that began under load, when others were at work: {busy}.\n\n",
        runs.len(),
        distinct(|run| run.date.clone()),
        distinct(|run| format!(
            "{}, model {}, {} cores",
            run.processor.name, run.processor.model, run.cores
        )),
        distinct(|run| run.revision.clone().unwrap_or_else(|| "unknown".into())),
    );
    let goals = by_goal(runs);
    let met = goals.iter().filter(|goal| state(goal) == "met").count();
    let _ = write!(text, "Goals met in every run, and steady: {met} of {}.\n\n", goals.len());
    text += "| row | table | ours / rival | goal | runs | median | worst run | state |\n";
    text += "| --- | --- | --- | --- | ---: | ---: | --- | --- |\n";
    for runs in &goals {
        text += &line(runs);
    }
    text
}

/// The goals in the order in which they were first seen, each with its runs.
fn by_goal<'a>(runs: &[&'a Record]) -> Vec<Vec<&'a Goal>> {
    let mut goals: Vec<Vec<&Goal>> = Vec::new();
    for goal in runs.iter().flat_map(|run| &run.goals) {
        match goals.iter_mut().find(|known| is_same(known[0], goal)) {
            Some(known) => known.push(goal),
            None => goals.push(vec![goal]),
        }
    }
    goals
}

/// Whether two runs decided the same goal. The best of several rivals may be another one in each run.
fn is_same(one: &Goal, other: &Goal) -> bool {
    let key = |goal: &Goal| {
        let rival = (!goal.best).then(|| goal.rival.column.clone());
        (goal.row.clone(), goal.table.clone(), goal.ours.column.clone(), rival, goal.measure)
    };
    key(one) == key(other)
}

fn line(runs: &[&Goal]) -> String {
    let last = runs[runs.len() - 1];
    let worse = |one: &&&Goal, other: &&&Goal| match last.measure {
        Measure::Time => one.worse().total_cmp(&other.worse()),
        Measure::Throughput => other.worse().total_cmp(&one.worse()),
    };
    let worst = runs.iter().max_by(worse).expect("a goal has a run");
    let rivals: BTreeSet<_> = runs.iter().map(|goal| goal.rival.column.as_str()).collect();
    let rivals = rivals.into_iter().collect::<Vec<_>>().join(" or ");
    let best = if last.best { "the best: " } else { "" };
    let median = Quartiles::of(runs.iter().map(|goal| goal.ratio.median)).median;
    format!(
        "| {} | `{}` | {} / {best}{rivals} | {} {} | {} | {median:.2} | {:.2} ({}, {}) | {} |\n",
        last.row,
        last.table,
        last.ours.column,
        last.measure,
        last.goal,
        runs.len(),
        worst.worse(),
        place(&worst.ours),
        place(&worst.rival),
        state(runs)
    )
}

fn place(slowest: &Slowest) -> String {
    let Slowest { column, point, nanoseconds } = slowest;
    let point = point.as_ref().map_or(String::new(), |point| format!(" at {point}"));
    format!("{column} {nanoseconds:.2} ns{point}")
}

/// Of the runs that were judged by the limit that the last one was judged by.
fn state(runs: &[&Goal]) -> String {
    let limit = &runs[runs.len() - 1].goal;
    let judged: Vec<_> = runs.iter().filter(|goal| goal.goal == *limit).collect();
    let met = judged.iter().filter(|goal| goal.verdict == Verdict::Met).count();
    let unsteady = judged.iter().filter(|goal| goal.is_unsteady()).count();
    let mut state = match met {
        0 => "missed".into(),
        all if all == judged.len() => "met".into(),
        some => format!("met in {some} of {}", judged.len()),
    };
    if unsteady > 0 {
        let _ = write!(state, ", unsteady in {unsteady}");
    }
    state
}
