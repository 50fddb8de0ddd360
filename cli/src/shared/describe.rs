//! The descriptions of the programs of a topology: from files that it names, or by running each
//! command once, with `--describe`.

use std::fs::File;
use std::io::{self, PipeWriter, Read, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use mycelium::Topology;
use mycelium::overview::Description;
use mycelium::topology::{NodeCommand, TopologyError, TopologyFiles};
use mycelium_bundle::protocol::{PIPE_VARIABLE, pipe_identity};

use crate::shared::exit::Failure;
use crate::shared::output::printable;
use crate::shared::program::{Ended, Programs, Unfinished};

/// The argument that requests a description.
pub const ARGUMENT: &str = "--describe";
/// The most bytes of standard output that are accepted.
const MOST: usize = Description::MOST_BYTES;
/// The most bytes of standard error that an error message contains.
const MOST_OF_ERRORS: u64 = 2048;

/// The program of a node.
pub struct Described {
    /// The node.
    pub node: String,
    /// The program, for people.
    pub program: String,
    /// How it describes itself.
    pub description: Description,
}

/// Returns the programs of the nodes, or of the single one without a name. `given` is the command of
/// the nodes that have neither a command nor a description in the file. Empty if no program is
/// known.
///
/// # Errors
/// If a program gives no description, or only some nodes have a program.
pub fn programs(
    topology: &Topology,
    given: &[String],
    timeout: Duration,
    files: Option<PathBuf>,
) -> Result<Vec<Described>, Failure> {
    let mut all = described(topology)?;
    let commands = commands(topology, given, &all)?;
    if commands.is_empty() {
        return Ok(all);
    }
    let mut runs = Runs::new(timeout, files)?;
    let recorder = topology.recorder().map(|(node, _)| node);
    let has_nodes = topology.nodes().next().is_some();
    let (recorders, commands): (Vec<_>, Vec<_>) =
        commands.iter().partition(|command| Some(&*command.node) == recorder);
    let mut run = Vec::<Described>::new();
    for (place, command) in commands.iter().enumerate() {
        // Nodes with the same program and arguments share one description, so the program runs
        // once.
        let is_same = |other: &&NodeCommand| {
            (&other.program, &other.arguments) == (&command.program, &command.arguments)
        };
        let description = match commands[..place].iter().position(is_same) {
            Some(known) => run[known].description.clone(),
            None => runs.describe(command)?,
        };
        let of = if has_nodes { &*command.node } else { description.node() };
        run.push(Described { node: of.to_owned(), program: name(command), description });
    }
    for command in recorders {
        // The recorder reads what the other programs publish.
        let description = match run.iter().chain(&all).next() {
            Some(other) => other.description.clone(),
            None => runs.describe(command)?,
        };
        run.push(Described { node: command.node.clone(), program: name(command), description });
    }
    all.splice(0..0, run);
    Ok(all)
}

/// Returns the commands of the nodes that are not `described`, or none if neither the file nor the
/// command line has a command.
fn commands(
    topology: &Topology,
    given: &[String],
    described: &[Described],
) -> Result<Vec<NodeCommand>, Failure> {
    let from_line = |node: &str| {
        let (program, arguments) = given.split_first()?;
        Some(topology.command_from(node, program, arguments))
    };
    let nodes: Vec<&str> = topology.nodes().collect();
    if nodes.is_empty() {
        let command = from_line("main").transpose();
        return Ok(command.map_err(Failure::usage)?.into_iter().collect());
    }
    let (mut commands, mut missing) = (Vec::new(), Vec::new());
    let is_described = |node: &&str| described.iter().any(|known| known.node == *node);
    for node in nodes.into_iter().filter(|node| !is_described(node)) {
        match topology.command(node).map(Ok).or_else(|| from_line(node)) {
            Some(Ok(command)) => commands.push(command),
            Some(Err(error)) => return Err(Failure::usage(error)),
            None => missing.push(node),
        }
    }
    match (commands.is_empty(), missing.is_empty()) {
        (false, false) => Err(Failure::Usage(format!(
            "node `{}` has no command, and other nodes have one: add `command` to its section, or \
             to `[bundle]` for all nodes, or give it after `--`",
            missing.join("`, `")
        ))),
        _ => Ok(commands),
    }
}

/// Returns the nodes that have a description in the file instead of a command, with their
/// descriptions.
fn described(topology: &Topology) -> Result<Vec<Described>, Failure> {
    let nodes = topology.nodes().filter(|node| topology.command(node).is_none());
    let described = nodes.map(|node| {
        let description = topology.description(node)?;
        let (node, program) = (node.to_owned(), "(described)".to_owned());
        Ok(description.map(|description| Described { node, program, description }))
    });
    let described: Result<_, TopologyError> = described.filter_map(Result::transpose).collect();
    described.map_err(|error| Failure::Found(error.to_string()))
}

/// Runs programs, one after the other.
struct Runs {
    programs: Programs,
    timeout: Duration,
    /// The copy of the topology's files that the programs read instead of the files.
    files: Option<PathBuf>,
}

/// The end of an error's text: what was expected of a program.
const EXPECTED: &str = "expected a description in one line of JSON";
/// The instruction how to make a program print a description.
const CALL: &str = "call `Builder::describe_on_request` before the program does anything else";

impl Runs {
    /// Creates the runs. From now on, signals interrupt them.
    fn new(timeout: Duration, files: Option<PathBuf>) -> Result<Runs, Failure> {
        Ok(Runs { programs: Programs::new()?, timeout, files })
    }

    /// Runs the program of a node, and returns its description.
    fn describe(&mut self, command: &NodeCommand) -> Result<Description, Failure> {
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
    fn run(&mut self, command: &NodeCommand) -> Result<Option<Vec<u8>>, String> {
        let failed = |error: io::Error| format!("it cannot be started: {error}");
        let mut program = command.process();
        program.arg(ARGUMENT).stdin(Stdio::null());
        let _pipe = self.give_files(&mut program).map_err(failed)?;
        let Ended { output, errors, status, .. } =
            match self.programs.run(program, self.timeout, [description, beginning], |_, _| {}) {
                Ok(ended) => ended,
                Err(Unfinished::Refused(error)) => return Err(failed(error)),
                Err(Unfinished::Interrupted) => return Ok(None),
                Err(Unfinished::TooMuch) => {
                    return Err(format!("it printed more than {MOST} bytes: {EXPECTED}"));
                }
                Err(Unfinished::Late(_)) => {
                    let limit = humantime::format_duration(self.timeout);
                    return Err(format!(
                        "it did not end within {limit}: {EXPECTED}, as \
                         `Builder::describe_on_request` prints it (`--timeout` sets the limit)"
                    ));
                }
            };
        let said = said(&String::from_utf8_lossy(&errors));
        let how = match (status.code(), status.signal()) {
            (Some(0), _) if output.trim_ascii().is_empty() => {
                return Err(format!("it printed nothing: {EXPECTED}; {CALL}{said}"));
            }
            (Some(0), _) => return Ok(Some(output)),
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
}

/// Reads all of standard output; `None` if it is too long.
fn description(output: &mut dyn Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // Ignores an error: an incomplete description causes an error later.
    let _ = output.take(MOST as u64 + 1).read_to_end(&mut bytes);
    (bytes.len() <= MOST).then_some(bytes)
}

/// Returns the beginning of standard error.
fn beginning(errors: &mut dyn Read) -> Option<Vec<u8>> {
    let mut first = Vec::new();
    let _ = errors.take(MOST_OF_ERRORS).read_to_end(&mut first);
    // Reads the rest, so that the program never blocks on its output.
    let _ = io::copy(errors, &mut io::sink());
    Some(first)
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
fn name(command: &NodeCommand) -> String {
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
