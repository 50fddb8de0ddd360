//! The one harness: our figures and, beside them in the same run, the rivals'.
//!
//! A column is one implementation doing one job. All columns of a table run the same caller's loop (`loops`, generic
//! over the two ends of a ring or channel, `ends`, which stand in `ours` and `rivals`), in short rounds that alternate
//! between the columns, so that a noisy moment of the machine meets them all. The figure is the median of the ratios
//! of each round, with its quartiles. `docs/performance.md` says how to run it and how to read it.
//!
//! Every round counts and sums what arrived. A message too few, too many, out of order or with wrong bytes ends the
//! run with an error: a figure of a loop that did not do its work is worth nothing.

mod affinity;
mod allocations;
mod ends;
mod goals;
mod harness;
mod instructions;
mod item;
mod loops;
mod options;
mod ours;
mod plots;
mod report;
pub mod results;
mod rivals;
mod sample;
mod tables;
mod threads;
mod wait;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

pub use harness::Mismatch;
pub use instructions::Error as InstructionsError;
pub use options::{Misuse, Options, USAGE};
pub use report::{
    CountTable, FairnessTable, Figures, InstructionTable, Instructions, LatencyTable, Limit,
    LoadCurve, LoadPoint, LoadTable, Machine, Measure, Percentiles, Place, Point, Processor,
    Quartiles, Ratio, Report, Row, Share, SweepTable, Table, Tallied, Verdict,
};

/// Runs what the arguments ask for, prints the tables to `out` as they are done, and writes the JSON file and
/// the plots.
pub fn main(arguments: impl Iterator<Item = String>, out: &mut dyn Write) -> ExitCode {
    let outcome = Options::parse(arguments).map_err(Failure::Misuse).and_then(|options| {
        if options.help {
            return out.write_all(USAGE.as_bytes()).map_err(Failure::Io);
        }
        if let (Some(page), Some(from)) = (&options.page, &options.from) {
            let text = std::fs::read_to_string(from).map_err(Failure::Io)?;
            let records = results::parse(&text).map_err(Failure::Results)?;
            return std::fs::write(page, results::render(&records)).map_err(Failure::Io);
        }
        let report = run(&options, out)?;
        if let Some(path) = &options.append {
            append(path, &report, &options).map_err(Failure::Io)?;
        }
        if let Some(path) = &options.json {
            let json = serde_json::to_vec_pretty(&report).map_err(io::Error::from);
            json.and_then(|json| std::fs::write(path, json)).map_err(Failure::Io)?;
        }
        if let Some(directory) = &options.plots {
            plots::write(directory, &report).map_err(Failure::Io)?;
        }
        Ok(())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If even this cannot be written, the exit code still says it.
            let _ = writeln!(out, "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Adds a line about the run to the results file.
fn append(path: &Path, report: &Report, options: &Options) -> io::Result<()> {
    let date = options.date.clone().unwrap_or_else(results::today);
    let line = results::Record::of(report, date, results::revision()).line()?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())
}

/// Measures what `options` select and prints each table to `out` once it is done.
///
/// # Errors
/// If a column did not move every message as it was, or `out` refuses.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<Report, Failure> {
    let cores = affinity::Cores::take();
    let mut report = Report::new(Machine::look(&cores, options));
    write!(out, "{}", report.machine).map_err(Failure::Io)?;
    if options.instructions {
        for job in tables::jobs(options, &cores) {
            if let Some(table) =
                instructions::count(&job, options).map_err(Failure::Instructions)?
            {
                write!(out, "\n{table}").map_err(Failure::Io)?;
                report.instructions.push(table);
            }
        }
        return Ok(report);
    }
    for job in tables::jobs(options, &cores) {
        job.measure(options, &mut |section| {
            write!(out, "\n{section}").map_err(Failure::Io)?;
            report.push(section);
            Ok(())
        })?;
    }
    report.judge();
    write!(out, "\n{}", report.summary()).map_err(Failure::Io)?;
    Ok(report)
}

/// Why there is no report.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense.
    Misuse(Misuse),
    /// A column did not do its work.
    Mismatch(Mismatch),
    /// Instructions could not be counted.
    Instructions(InstructionsError),
    /// The results file has a line that is not a run.
    Results(results::BadLine),
    /// Reading or writing failed.
    Io(io::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Misuse(misuse) => write!(f, "{misuse}\n\n{USAGE}"),
            Failure::Mismatch(mismatch) => mismatch.fmt(f),
            Failure::Instructions(error) => error.fmt(f),
            Failure::Results(error) => error.fmt(f),
            Failure::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Mismatch> for Failure {
    fn from(mismatch: Mismatch) -> Failure {
        Failure::Mismatch(mismatch)
    }
}
