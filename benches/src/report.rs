//! What a run found, as tables for people and as JSON for machines.

mod counts;
mod fairness;
mod instructions;
mod latency;
mod load;
mod processor;
mod tables;

use std::fmt;

use serde::Serialize;

use crate::affinity::Cores;
use crate::loops::trip;
use crate::options::Options;

pub use counts::{CountTable, Tallied};
pub use fairness::{FairnessTable, Share};
pub use instructions::{InstructionTable, Instructions};
pub(crate) use latency::histogram;
pub use latency::{LatencyTable, Percentiles, Point};
pub use load::{LoadCurve, LoadPoint, LoadTable};
pub use processor::Processor;
pub use tables::{Figures, Limit, Measure, Place, Quartiles, Ratio, SweepTable, Table, Verdict};

/// All that a run found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Where it ran.
    pub machine: Machine,
    /// Costs an operation.
    pub tables: Vec<Table>,
    /// The goals of the sweeps among these tables.
    pub sweeps: Vec<SweepTable>,
    /// Times of single messages.
    pub latencies: Vec<LatencyTable>,
    /// Times of single messages against offered load.
    pub loads: Vec<LoadTable>,
    /// What is spent beside time.
    pub counts: Vec<CountTable>,
    /// What each thread got.
    pub fairness: Vec<FairnessTable>,
    /// Instructions an operation, where they were counted instead of times.
    pub instructions: Vec<InstructionTable>,
    /// The goals by row. Empty after a quick run, which judges none.
    pub rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Report {
        Report {
            machine,
            tables: Vec::new(),
            sweeps: Vec::new(),
            latencies: Vec::new(),
            loads: Vec::new(),
            counts: Vec::new(),
            fairness: Vec::new(),
            instructions: Vec::new(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, section: Section) {
        match section {
            Section::Table(table) => self.tables.push(table),
            Section::Sweep(table) => self.sweeps.push(table),
            Section::Latency(table) => self.latencies.push(table),
            Section::Load(table) => self.loads.push(table),
            Section::Count(table) => self.counts.push(table),
            Section::Fairness(table) => self.fairness.push(table),
        }
    }

    /// Counts the goals of all tables by row.
    pub(crate) fn judge(&mut self) {
        let goals = self.tables.iter().flat_map(Table::goals);
        let goals = goals.chain(self.sweeps.iter().flat_map(SweepTable::goals));
        let goals = goals.chain(self.counts.iter().flat_map(CountTable::goals));
        for (row, verdict, goal) in goals.chain(self.fairness.iter().flat_map(FairnessTable::goals))
        {
            let known = self.rows.iter().position(|known| known.name == row);
            let place = known.unwrap_or_else(|| {
                self.rows.push(Row { name: row, met: 0, missed: Vec::new() });
                self.rows.len() - 1
            });
            match verdict {
                Verdict::Met => self.rows[place].met += 1,
                Verdict::Missed => self.rows[place].missed.push(goal),
            }
        }
    }

    /// The goals, met and missed, in one place.
    pub(crate) fn summary(&self) -> String {
        if self.machine.quick {
            return "quick: every column moved every message; the times mean nothing\n".into();
        }
        let mut text: String = self.rows.iter().map(Row::to_string).collect();
        let missed = self.rows.iter().filter(|row| row.verdict() == Verdict::Missed).count();
        text += &format!(
            "rows: {} of {} met, {missed} missed\n",
            self.rows.len() - missed,
            self.rows.len()
        );
        text
    }
}

/// A table of any kind.
#[derive(Clone, Debug)]
pub(crate) enum Section {
    Table(Table),
    Sweep(SweepTable),
    Latency(LatencyTable),
    Load(LoadTable),
    Count(CountTable),
    Fairness(FairnessTable),
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Section::Table(table) => table.fmt(f),
            Section::Sweep(table) => table.fmt(f),
            Section::Latency(table) => table.fmt(f),
            Section::Load(table) => table.fmt(f),
            Section::Count(table) => table.fmt(f),
            Section::Fairness(table) => table.fmt(f),
        }
    }
}

/// Goals that stand and fall together.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The work.
    pub name: &'static str,
    /// How many of its goals are met.
    pub met: usize,
    /// Those that are not, in words.
    pub missed: Vec<String>,
}

impl Row {
    /// A row is met when all of its goals are.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.missed.is_empty())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { name, met, missed } = self;
        // Padded as a whole word.
        let verdict = self.verdict().to_string();
        writeln!(f, "{verdict:<6}  {name}: {met} of {} goals", met + missed.len())?;
        missed.iter().try_for_each(|goal| writeln!(f, "          missed: {goal}"))
    }
}

/// Where a run was made.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Machine {
    /// The processor.
    pub processor: Processor,
    /// How many cores the process could use before its threads were pinned.
    pub cores: usize,
    /// What a number there and back between two cores takes without a queue, in nanoseconds: the least that this
    /// machine allows for a round trip.
    pub raw_trip: f64,
    /// What became of the wish to run on cores of its own.
    pub pinning: String,
    /// The load when the run began: tasks that run or want to, over the last minute.
    pub load: Option<f64>,
    /// Whether the run only checked.
    pub quick: bool,
}

impl Machine {
    pub(crate) fn look(cores: &Cores, options: &Options) -> Machine {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Machine {
            processor: Processor::of(&read("/proc/cpuinfo")),
            raw_trip: trip::raw(cores),
            cores: cores.count(),
            pinning: cores.granted(),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()),
            quick: options.quick,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "processor: {}", self.processor)?;
        writeln!(f, "raw round trip: {:.0} ns", self.raw_trip)?;
        writeln!(f, "pinning: {}", self.pinning)?;
        if let Some(load) = self.load {
            let warning =
                if load > 0.5 { ": others are at work here, trust ratios only" } else { "" };
            writeln!(f, "load at the start: {load}{warning}")?;
        }
        Ok(())
    }
}
