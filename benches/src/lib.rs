//! The benchmark harness: measures Mycelium and, in the same run, comparable crates.
//!
//! Reading order: `tables` lists what is measured and the goals. A table is a `Contest` of columns
//! (`harness`); a column is one implementation of a job. All columns of a table run the same
//! caller's loop (`loops`), which is generic over the two ends of a queue (`ends`); the ends are in
//! `ours` and `rivals`. Rounds alternate between the columns, so that a slow moment of the machine
//! affects all of them. The result is the median of the ratios of each round, with quartiles
//! (`goals`, `report`). `docs/performance.md` explains how to run it and how to read it.
//!
//! Every round counts and sums the messages that arrived. A lost, duplicated, reordered or changed
//! message ends the run with an error.

mod ends;
mod goals;
mod harness;
mod loops;
mod machine;
mod options;
mod ours;
mod raw;
mod report;
pub mod results;
mod rivals;
mod sample;
mod stats;
mod tables;
mod wait;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::ExitCode;

use harness::Mismatch;
use options::Options;
use report::{Machine, Report};

/// Runs the measurements that the arguments select, prints each table to `out` as soon as it is
/// complete, and writes the requested files.
pub fn main(arguments: impl IntoIterator<Item = String>, out: &mut dyn Write) -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(done) = loops::shm::serve_job() {
        return done;
    }
    let options = match Options::read(arguments, tables::names()) {
        Ok(options) => options,
        Err(error) => {
            // Clap prints help to the standard output, errors to the standard error.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match act(&options, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If even this cannot be written, the exit code still says that the run failed.
            let _ = writeln!(out, "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn act(options: &Options, out: &mut dyn Write) -> Result<(), Failure> {
    if let (Some(page), Some(from)) = (&options.page, &options.from) {
        let records = results::parse(&std::fs::read_to_string(from)?)?;
        return Ok(std::fs::write(page, results::render(&records))?);
    }
    let report = run(options, out)?;
    if let Some(path) = &options.append {
        let record = results::Record::of(&report, results::today(), results::revision());
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(record.line().map_err(io::Error::from)?.as_bytes())?;
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report).map_err(io::Error::from)?)?;
    }
    Ok(())
}

/// Measures what `options` select and prints each table to `out` as soon as it is complete.
///
/// # Errors
/// If a column lost or changed a message, or `out` cannot be written.
fn run(options: &Options, out: &mut dyn Write) -> Result<Report, Failure> {
    let cores = machine::affinity::Cores::take();
    let raw_trip = loops::trip::raw(&cores);
    let machine = Machine::new(cores.count(), cores.granted(), raw_trip, options.quick);
    let mut report = Report { machine, tables: Vec::new(), rows: Vec::new() };
    write!(out, "{}", report.machine)?;
    for sweep in tables::sweeps(options, &cores) {
        let mut written = Ok(());
        sweep.measure(options, &mut |table| {
            let next = write!(out, "\n{table}");
            written = std::mem::replace(&mut written, Ok(())).and(next);
            report.tables.push(table);
        })?;
        written?;
    }
    report.judge();
    write!(out, "\n{}", report.summary())?;
    Ok(report)
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// A column did not do its work.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A line of the results file is invalid.
    #[error(transparent)]
    Results(#[from] results::BadLine),
    /// A file or the output could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}
