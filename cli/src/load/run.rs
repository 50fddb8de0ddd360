//! Runs a program once, with a limit on its time and its output, and looks at what it uses.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use mycelium_bundle::Process;
use rustix::param::{clock_ticks_per_second, page_size};

use super::case::Offer;
use super::report::{Report, Run};
use crate::shared::clock::{Waits, Wake};
use crate::shared::exit::Failure;
use crate::shared::output::printable;

/// The most bytes of a line of a program's output.
pub(super) const MOST: u64 = 64 << 10;
/// How many of its last lines on standard error a message has.
const LINES: usize = 5;
/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a thread has seen of the program with this number.
pub(super) type Event = (usize, Seen);

/// What a thread has seen.
#[derive(Debug)]
pub(super) enum Seen {
    /// The last line of standard output.
    Output(String),
    /// The last lines of standard error.
    Errors(VecDeque<String>),
    /// The process has exited, but is not reaped yet.
    Exited,
}

/// Runs a program once. `number` differs between runs. It may take `patience` longer than its
/// messages.
///
/// # Errors
/// If it cannot be started, does not end in time, fails, or prints no report; or at a signal.
pub(super) fn run(
    waits: &Waits<Event>,
    number: usize,
    mut command: Command,
    offer: &Offer,
    patience: Duration,
) -> Result<Run, Failure> {
    let failed = |error: String| Failure::Unavailable(error);
    command.args(offer.arguments());
    // Its standard input ends when this process does.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begin = waits.clock.now();
    let process = start(waits.sender(), number, command)
        .map_err(|error| failed(format!("it cannot be started: {error}")))?;
    let limit = offer.warm_up.saturating_add(offer.seconds).saturating_add(patience);
    let deadline = begin.saturating_add(limit);
    let (mut output, mut errors, mut used) = (None, None, None);
    let mut memory = 0;
    while output.is_none() || errors.is_none() || used.is_none() {
        match waits.until(deadline.min(waits.clock.now() + LOOK)) {
            Wake::Due if waits.clock.now() >= deadline => {
                let limit = humantime::format_duration(limit);
                return Err(failed(format!(
                    "it did not end within {limit}, and was killed: a part of it does not answer"
                )));
            }
            Wake::Due => memory = memory.max(resident(process.child.id(), 0)),
            Wake::Interrupted => return Err(failed("a signal ended the measurement".to_owned())),
            Wake::Sent((from, seen)) if from == number => match seen {
                Seen::Output(line) => output = Some(line),
                Seen::Errors(lines) => errors = Some(lines),
                Seen::Exited => {
                    used = Some((processor_seconds(process.child.id()), waits.clock.now() - begin));
                    // Other processes of its group may keep the output open.
                    process.kill();
                }
            },
            Wake::Sent(_) => {}
        }
    }
    let status = process.reap().map_err(|error| failed(error.to_string()))?;
    let said: String =
        errors.iter().flatten().map(|line| format!("\n  {}", printable(line))).collect();
    if !status.success() {
        return Err(failed(format!("it failed ({status}){said}")));
    }
    let line = output.unwrap_or_default();
    let report: Report = serde_json::from_str(&line).map_err(|error| {
        let line: String = line.chars().take(80).collect();
        let line = printable(&line);
        failed(format!("its last line is no report: {error}: `{line}`{said}"))
    })?;
    let (seconds, time) = used.unwrap_or_default();
    let cores = (seconds - report.generator_seconds).max(0.0) / time.as_secs_f64().max(1e-9);
    Ok(Run { report, cores, memory })
}

/// Starts the process, and threads that report its output and its exit.
fn start(
    sender: Sender<Option<Event>>,
    number: usize,
    command: Command,
) -> std::io::Result<Process> {
    let send = move |sender: &Sender<_>, seen| {
        // Ignores an error: nobody waits for it any more.
        let _ = sender.send(Some((number, seen)));
    };
    let exits = sender.clone();
    let mut process = Process::start(command, move || send(&exits, Seen::Exited))?;
    let (output, errors) = (process.child.stdout.take(), process.child.stderr.take());
    let (outputs, others) = (sender.clone(), sender);
    thread::Builder::new().name("output".into()).spawn(move || {
        let last = output.map(|output| last_lines(output, 1)).unwrap_or_default();
        send(&outputs, Seen::Output(last.into_iter().next_back().unwrap_or_default()));
    })?;
    thread::Builder::new().name("errors".into()).spawn(move || {
        let last = errors.map(|errors| last_lines(errors, LINES)).unwrap_or_default();
        send(&others, Seen::Errors(last));
    })?;
    Ok(process)
}

/// Reads to the end, and returns the last lines that are not empty. Longer lines are cut.
fn last_lines(input: impl Read, count: usize) -> VecDeque<String> {
    let (mut input, mut lines) = (BufReader::new(input), VecDeque::new());
    let mut line = Vec::new();
    // At an error the lines before it count.
    while input.by_ref().take(MOST).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if !text.is_empty() {
            lines.push_back(text);
            lines.drain(..lines.len().saturating_sub(count));
        }
        line.clear();
    }
    lines
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
