//! The outcome of a run: data that prints as text tables and serializes to JSON.
//!
//! - `machine`: the processor and the conditions of the run
//! - `ratio`: two columns compared, with a goal
//! - `tables`: a table, and how it prints

mod machine;
mod ratio;
mod tables;

use std::fmt;

use serde::Serialize;

pub(crate) use machine::{Machine, Processor};
pub(crate) use ratio::{Limit, Measure, Ratio, Verdict, WorstPoint};
pub(crate) use tables::{Counted, Figures, Header, Percentiles, Table};

/// The outcome of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The machine and its state.
    pub machine: Machine,
    /// What was measured.
    pub tables: Vec<Table>,
    /// Goals by row. Empty after a quick run, which decides none.
    pub rows: Vec<GoalRow>,
}

impl Report {
    /// Groups the goals of all tables by row.
    pub(crate) fn judge(&mut self) {
        for table in &self.tables {
            for (verdict, goal) in table.goals() {
                let name = table.header.row;
                let known = self.rows.iter().position(|row| row.name == name);
                let index = known.unwrap_or_else(|| {
                    self.rows.push(GoalRow { name, met: 0, missed: Vec::new() });
                    self.rows.len() - 1
                });
                match verdict {
                    Verdict::Met => self.rows[index].met += 1,
                    Verdict::Missed => self.rows[index].missed.push(goal),
                }
            }
        }
    }

    /// All goals, met and missed.
    pub(crate) fn summary(&self) -> String {
        if self.machine.quick {
            return "quick: every column moved every message; the times mean nothing\n".into();
        }
        let rows: String = self.rows.iter().map(GoalRow::to_string).collect();
        let missed = self.rows.iter().filter(|row| row.verdict() == Verdict::Missed).count();
        let met = self.rows.len() - missed;
        format!("{rows}rows: {met} of {} met, {missed} missed\n", self.rows.len())
    }
}

/// A group of goals. It is met when all of them are.
#[derive(Clone, Debug, Serialize)]
pub struct GoalRow {
    /// What the goals are about.
    pub name: &'static str,
    /// Number of goals met.
    pub met: usize,
    /// The goals missed, in words.
    pub missed: Vec<String>,
}

impl GoalRow {
    /// Whether all goals are met.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.missed.is_empty())
    }
}

impl fmt::Display for GoalRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GoalRow { name, met, missed } = self;
        // Formatted first, so that the padding applies to the whole word.
        let verdict = self.verdict().to_string();
        writeln!(f, "{verdict:<6}  {name}: {met} of {} goals", met + missed.len())?;
        missed.iter().try_for_each(|goal| writeln!(f, "          missed: {goal}"))
    }
}
