//! Runs a program once, and looks at what its processes use.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};

use super::case::Offer;
use super::report::{Report, Run};
use crate::shared::output::printable;
use crate::shared::program::{Ended, Programs, Unfinished};

/// The most bytes of a line of a program's output.
pub(super) const MOST: u64 = 64 << 10;
/// How many of its last lines on standard error a message has.
const LINES: usize = 5;

/// Runs a program once. It may take `patience` longer than its messages.
///
/// # Errors
/// In words, if it cannot be started, does not end in time, fails, or prints no report; or at a
/// signal.
pub(super) fn run(
    programs: &mut Programs,
    mut command: Command,
    offer: &Offer,
    patience: Duration,
) -> Result<Run, String> {
    // Its standard input ends when this process does.
    command.args(offer.arguments()).stdin(Stdio::piped());
    let limit = offer.warm_up.saturating_add(offer.seconds).saturating_add(patience);
    let (mut memory, mut seconds) = (0, 0.0);
    let look = |process, has_exited| match has_exited {
        false => memory = memory.max(resident(process, 0)),
        true => seconds = processor_seconds(process),
    };
    let Ended { output, errors, status, took } = programs
        .run(command, limit, [last_line, last_lines], look)
        .map_err(|error| match error {
            Unfinished::Refused(error) => format!("it cannot be started: {error}"),
            Unfinished::Late(errors) => format!(
                "it did not end within {}, and was killed: a part of it does not answer{}",
                humantime::format_duration(limit),
                said(&errors)
            ),
            Unfinished::TooMuch => "it printed too much".to_owned(),
            Unfinished::Interrupted => "a signal ended the measurement".to_owned(),
        })?;
    let said = said(&errors);
    if !status.success() {
        return Err(format!("it failed ({status}){said}"));
    }
    let report = report(&output).map_err(|error| {
        let line: String = String::from_utf8_lossy(&output).chars().take(80).collect();
        format!("its last line is not a report: {error}: `{}`{said}", printable(&line))
    })?;
    let cores = (seconds - report.generator_seconds).max(0.0) / took.as_secs_f64().max(1e-9);
    Ok(Run { report, cores, memory })
}

/// Returns the last lines of a program's errors for a message.
fn said(errors: &[u8]) -> String {
    let errors = String::from_utf8_lossy(errors);
    errors.lines().map(|line| format!("\n  {}", printable(line))).collect()
}

/// Reads a report.
pub(super) fn report(line: &[u8]) -> Result<Report, String> {
    let report: Report = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    report.check()?;
    Ok(report)
}

/// Reads to the end, and returns the last line that is not empty.
fn last_line(output: &mut dyn Read) -> Option<Vec<u8>> {
    Some(last(output, 1))
}

/// Reads to the end, and returns the last lines that are not empty.
fn last_lines(errors: &mut dyn Read) -> Option<Vec<u8>> {
    Some(last(errors, LINES))
}

fn last(input: &mut dyn Read, count: usize) -> Vec<u8> {
    let (mut input, mut lines) = (BufReader::new(input), VecDeque::new());
    let mut line = Vec::new();
    // A longer line is cut. At an error the lines before it count.
    while input.by_ref().take(MOST).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = line.trim_ascii().to_vec();
        if !text.is_empty() {
            lines.push_back(text);
            lines.drain(..lines.len().saturating_sub(count));
        }
        line.clear();
    }
    Vec::from(lines).join(&b'\n')
}

/// How deep the tree of processes may be.
const DEEPEST: usize = 8;

/// Returns the resident bytes of a process and its descendants. One that has ended has none.
fn resident(process: u32, depth: usize) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let mut bytes = pages.unwrap_or(0).saturating_mul(page_size() as u64);
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return bytes };
    for thread in threads.flatten().take_while(|_| depth < DEEPEST) {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split(' ').filter_map(|child| child.trim().parse().ok()) {
            bytes = bytes.saturating_add(resident(child, depth + 1));
        }
    }
    bytes
}

/// Returns the processor time of a process that has exited and is not reaped, and of those that it
/// has waited for, in seconds.
fn processor_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program is in parentheses, and may have spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    ticks as f64 / clock_ticks_per_second() as f64
}
