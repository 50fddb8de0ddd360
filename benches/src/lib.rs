//! The one harness: our figures and, beside them in the same run, the rivals'.
//!
//! A column is one implementation doing one job. All columns of a table run the same caller's loop
//! (generic over the two ends of a channel, `ends`, or over a codec, `codec`), in short rounds that alternate
//! between the columns, so that a noisy moment of the machine meets them all. The figure is the median of the ratios
//! of each round, with its quartiles. `docs/performance.md` says how to run it and how to read it.
//!
//! Every round counts and sums what arrived. A message too few, too many, out of order or with wrong bytes ends the
//! run with an error: a figure of a loop that did not do its work is worth nothing.

mod affinity;
mod codec;
mod ends;
mod harness;
mod one_thread;
mod options;
mod report;
mod sample;
mod two_threads;

use std::io::{self, Write};
use std::process::ExitCode;

pub use harness::Mismatch;
pub use options::{Misuse, Options, USAGE};
pub use report::{
    Figures, LatencyTable, Machine, Percentiles, Quartiles, Ratio, Report, Table, Verdict,
};

/// Runs what the arguments ask for, prints the tables to `out` as they are done, and writes the JSON file.
pub fn main(arguments: impl Iterator<Item = String>, out: &mut dyn Write) -> ExitCode {
    let outcome = Options::parse(arguments).map_err(Failure::Misuse).and_then(|options| {
        if options.help {
            return out.write_all(USAGE.as_bytes()).map_err(Failure::Io);
        }
        let report = run(&options, out)?;
        if let Some(path) = &options.json {
            let json = serde_json::to_vec_pretty(&report).map_err(io::Error::from);
            json.and_then(|json| std::fs::write(path, json)).map_err(Failure::Io)?;
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

/// Measures what `options` select and prints each table to `out` once it is done.
///
/// # Errors
/// If a column did not move every message as it was, or `out` refuses.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<Report, Failure> {
    let cores = affinity::Cores::take();
    let mut report = Report::new(Machine::look(&cores, options));
    write!(out, "{}", report.machine).map_err(Failure::Io)?;
    for contest in one_thread::contests(options).into_iter().chain(codec::contests(options)) {
        let table = contest.measure(options)?;
        write!(out, "\n{table}").map_err(Failure::Io)?;
        report.tables.push(table);
    }
    for (contest, latencies) in two_threads::contests(options, &cores) {
        let table = contest.measure(options)?;
        write!(out, "\n{table}").map_err(Failure::Io)?;
        report.tables.push(table);
        let table = latencies.measure(options)?;
        write!(out, "\n{table}").map_err(Failure::Io)?;
        report.latencies.push(table);
    }
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
    /// Writing failed.
    Io(io::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Misuse(misuse) => write!(f, "{misuse}\n\n{USAGE}"),
            Failure::Mismatch(mismatch) => mismatch.fmt(f),
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
