//! Runs programs that describe themselves. Each command runs once with `--describe`, with limits on
//! its time and its output. The process leads its own group, which is killed as a whole afterwards.

use std::fs::File;
use std::io::{self, PipeWriter, Read, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use mycelium::overview::Description;
use mycelium::topology::{NodeCommand, TopologyFiles};
use mycelium_bundle::Process;
use mycelium_bundle::protocol::{PIPE_VARIABLE, pipe_identity};

use crate::shared::clock::{Waits, Wake};
use crate::shared::exit::Failure;
use crate::shared::output::printable;

/// The argument that requests a description.
const ARGUMENT: &str = "--describe";
/// The most bytes of standard output that are accepted.
const MOST: usize = Description::MOST_BYTES;
/// The most bytes of standard error that an error message contains.
const MOST_OF_ERRORS: usize = 2048;

/// Runs programs, one after the other.
pub(super) struct Runs {
    waits: Waits<(usize, Event)>,
    timeout: Duration,
    /// The copy of the topology's files that the programs read instead of the files.
    files: Option<PathBuf>,
    /// The number of the running program. Events with another number are ignored: a process that
    /// has left the group of an earlier program may still write.
    number: usize,
}

/// An event of a process.
#[derive(Debug)]
enum Event {
    /// All bytes of standard output, or one byte more than the limit if there are more.
    Output(Vec<u8>),
    /// The beginning of standard error.
    Errors(Vec<u8>),
    /// The process has exited, but is not reaped yet.
    Exited,
}

/// The end of an error's text: what was expected of a program.
const EXPECTED: &str = "expected a description in one line of JSON";
/// The instruction how to make a program print a description.
const CALL: &str = "call `Builder::describe_on_request` before the program does anything else";

impl Runs {
    /// Creates the runs. From now on, signals interrupt them.
    pub(super) fn new(timeout: Duration, files: Option<PathBuf>) -> Result<Runs, Failure> {
        Ok(Runs { waits: Waits::new()?, timeout, files, number: 0 })
    }

    /// Runs the program of a node, and returns its description.
    pub(super) fn describe(&mut self, command: &NodeCommand) -> Result<Description, Failure> {
        self.number += 1;
        let failed = |error: String| {
            let place = command.place.iter().map(|place| format!("{place}: "));
            let (place, node, line) = (place.collect::<String>(), &command.node, line(command));
            Failure::Unavailable(format!("{place}node `{node}` runs `{line}`: {error}"))
        };
        let output = match self.run(command) {
            Ok(Some(output)) => output,
            Ok(None) => return Err(Failure::Unavailable("a signal ended the check".to_owned())),
            Err(error) => return Err(failed(error)),
        };
        read(&output).map_err(failed)
    }

    /// Runs a program, and returns its standard output, or `None` if a signal ended the wait.
    fn run(&self, command: &NodeCommand) -> Result<Option<Vec<u8>>, String> {
        let failed = |error: io::Error| format!("it cannot be started: {error}");
        let mut program = command.process();
        program.arg(ARGUMENT);
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let _pipe = self.give_files(&mut program).map_err(failed)?;
        let process = self.start(program).map_err(failed)?;
        let until = self.waits.clock.now().saturating_add(self.timeout);
        let (mut output, mut errors, mut has_exited) = (None, None, false);
        while output.is_none() || errors.is_none() || !has_exited {
            match self.waits.until(until) {
                Wake::Due => {
                    let limit = humantime::format_duration(self.timeout);
                    return Err(format!(
                        "it did not end within {limit}: {EXPECTED}, as \
                         `Builder::describe_on_request` prints it (`--timeout` sets the limit)"
                    ));
                }
                Wake::Interrupted => return Ok(None),
                Wake::Sent((number, event)) if number == self.number => match event {
                    Event::Output(bytes) if bytes.len() > MOST => {
                        return Err(format!("it printed more than {MOST} bytes: {EXPECTED}"));
                    }
                    Event::Output(bytes) => output = Some(bytes),
                    Event::Errors(bytes) => errors = Some(bytes),
                    Event::Exited => {
                        has_exited = true;
                        // Kills the whole group, because other processes in it may keep the output
                        // open.
                        process.kill();
                    }
                },
                Wake::Sent(_) => {}
            }
        }
        let said = said(&String::from_utf8_lossy(&errors.unwrap_or_default()));
        let status = process.reap().map_err(failed)?;
        let how = match (status.code(), status.signal()) {
            (Some(0), _) => {
                let output = output.unwrap_or_default();
                return match output.trim_ascii().is_empty() {
                    true => Err(format!("it printed nothing: {EXPECTED}; {CALL}{said}")),
                    false => Ok(Some(output)),
                };
            }
            (Some(code), _) => format!("it exited with {code}"),
            (None, signal) => format!("signal {} ended it", signal.unwrap_or_default()),
        };
        Err(format!("{how}: expected code 0 and a description{said}"))
    }

    /// Gives the process the copy of the files, as a launcher does. The process can read the copy
    /// until the returned pipe is dropped.
    fn give_files(&self, process: &mut Command) -> io::Result<Option<PipeWriter>> {
        let Some(files) = &self.files else { return Ok(None) };
        let (reader, writer) = pipe()?;
        let reader = OwnedFd::from(reader);
        let identity = pipe_identity(&File::from(reader.try_clone()?))?;
        process.env(PIPE_VARIABLE, identity).env(TopologyFiles::VARIABLE, files).stdin(reader);
        Ok(Some(writer))
    }

    /// Starts a process, and threads that report its output and its exit.
    fn start(&self, command: Command) -> io::Result<Process> {
        let (sender, number) = (self.waits.sender(), self.number);
        let send = move |sender: &Sender<_>, event| {
            // Ignores an error: nobody waits for the event any more.
            let _ = sender.send(Some((number, event)));
        };
        let thread = |name: &str| thread::Builder::new().name(name.into());
        let exits = sender.clone();
        let mut process = Process::start(command, move || send(&exits, Event::Exited))?;
        if let Some(output) = process.child.stdout.take() {
            let outputs = sender.clone();
            thread("output").spawn(move || {
                let mut bytes = Vec::new();
                // Ignores an error: an incomplete description causes an error later.
                let _ = output.take(MOST as u64 + 1).read_to_end(&mut bytes);
                send(&outputs, Event::Output(bytes));
            })?;
        }
        if let Some(mut errors) = process.child.stderr.take() {
            thread("errors").spawn(move || {
                let mut first = Vec::new();
                let _ = errors.by_ref().take(MOST_OF_ERRORS as u64).read_to_end(&mut first);
                // Reads the rest, so that the program never blocks on its output.
                let _ = io::copy(&mut errors, &mut io::sink());
                send(&sender, Event::Errors(first));
            })?;
        }
        Ok(process)
    }
}

/// Finds the description in the output of a program, after lines that may belong to its log.
fn read(output: &[u8]) -> Result<Description, String> {
    let text = String::from_utf8_lossy(output);
    let is_description = |line: &&str| line.trim_start().starts_with("{\"mycelium_description\"");
    if let Some(line) = text.lines().find(is_description) {
        return Description::from_json(line).map_err(|error| error.to_string());
    }
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let short: String = first.chars().take(60).collect();
    let rest = if short.len() < first.len() { "…" } else { "" };
    Err(format!("it printed `{}{rest}`: {EXPECTED}; {CALL}", printable(&short)))
}

/// Returns the program of a command for people, without the directory if it is the file's.
pub(super) fn name(command: &NodeCommand) -> String {
    match command.program.strip_prefix(&command.directory) {
        Ok(inside) if inside.starts_with("..") => inside.display().to_string(),
        Ok(inside) => format!("./{}", inside.display()),
        Err(_) => command.program.display().to_string(),
    }
}

/// Returns the command line, for people.
fn line(command: &NodeCommand) -> String {
    let arguments = command.arguments.iter().map(|word| word.to_string_lossy().into_owned());
    let words = [name(command)].into_iter().chain(arguments);
    let words = words.chain([ARGUMENT.to_owned()]);
    let quoted = words.map(|word| {
        let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,@+%{}".contains(c);
        match !word.is_empty() && word.chars().all(is_plain) {
            true => word,
            false => format!("'{}'", printable(&word)),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Returns the text that a program wrote to standard error, for a message.
fn said(errors: &str) -> String {
    let lines = errors.trim().lines().map(|line| format!("\n  {}", printable(line)));
    match lines.collect::<String>() {
        lines if lines.is_empty() => lines,
        lines => format!("; it says:{lines}"),
    }
}
