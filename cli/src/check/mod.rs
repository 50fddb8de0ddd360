//! `check`: the nodes, topics and links of a topology before it runs, or its mistakes.
//!
//! Read `program` (how programs describe themselves), `text`, then `picture`, whose boxes `layout`
//! places and `svg` draws; `live` is `check --live`. This module uses the crate's `live` and
//! `shared`.

mod layout;
mod live;
mod picture;
mod program;
mod svg;
mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use mycelium::Topology;
use mycelium::error::Problem;
use mycelium::overview::{Description, NodeProgram, Overview};
use mycelium::topology::{NodeCommand, TopologyError, TopologyFiles};
use serde::Serialize;

use crate::shared::clock::duration;
use crate::shared::exit::Failure;
use crate::shared::output::{Format, count, json, print};
use live::Limits;
use program::Runs;

/// The version of the JSON format.
const VERSION: u32 = 1;

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The topology file. With `--live`: only its nodes, all of which run.
    #[arg(required_unless_present = "live")]
    file: Option<PathBuf>,
    /// Check nodes that run instead: whether they lose messages, fall behind or restart.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    limits: Limits,
    /// How the result is printed.
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,
    /// How long a program may take for its description, such as `10s`.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// A copy of the topology's files, which is read in place of them: by the programs, too. It is
    /// for launchers.
    #[arg(long, value_name = "COPY", hide = true)]
    files: Option<PathBuf>,
    /// The program, and its arguments, of nodes that have neither a `command` nor a `description`
    /// in the file. `{node}` is the name of the node, `{topology}` the path of the file,
    /// `{directory}` the directory of the sockets.
    #[arg(last = true, value_name = "PROGRAM")]
    command: Vec<String>,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines for people.
    Text,
    /// An object in one line.
    Json,
    /// A picture.
    Svg,
}

/// The object that `-o json` prints.
#[derive(Serialize)]
struct Json<'a> {
    mycelium_overview: u32,
    file: String,
    #[serde(flatten)]
    overview: &'a Overview,
}

/// Checks the topology.
///
/// # Errors
/// If it has mistakes, or a program gives no description.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let topology = match &args.file {
        None => Topology::default(),
        Some(file) => load(args, file)?,
    };
    if args.live {
        let format = match args.output {
            Form::Text => Format::Table,
            Form::Json => Format::Json,
            Form::Svg => {
                let problem =
                    "nodes that run have no picture here: `mycelium top -o svg` makes one";
                return Err(Failure::Usage(problem.to_owned()));
            }
        };
        return live::run(&args.limits, topology.nodes().map(str::to_owned), format);
    }
    if !args.limits.target.is_all() {
        let problem = "`--node`, `--pid` and `--directory` are for nodes that run: add `--live`";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let file = args.file.iter().map(|file| file.display().to_string()).collect::<String>();
    let described = described(&topology)?;
    let commands = commands(&topology, &args.command, &described)?;
    if commands.is_empty() && described.is_empty() {
        return without_programs(args, &topology, &file);
    }
    let overview = overview(args, &topology, &commands, &described)?;
    let printed = match args.output {
        Form::Text => text::text(&file, &overview),
        Form::Json => json(&Json { mycelium_overview: VERSION, file, overview: &overview })?,
        Form::Svg => svg::svg(&file, &overview),
    };
    print(&printed)
}

fn load(args: &CheckArgs, file: &Path) -> Result<Topology, Failure> {
    let files = match &args.files {
        None => TopologyFiles::default(),
        Some(copy) => TopologyFiles::read(copy)
            .map_err(|error| Failure::Usage(format!("`{}`: {error}", copy.display())))?,
    };
    Topology::options().files(files).load(file).map_err(Failure::of_topology)
}

/// Prints the result of the file alone, without programs.
fn without_programs(args: &CheckArgs, topology: &Topology, file: &str) -> Result<(), Failure> {
    let help = "add `command = [\"./app\", \"{node}\"]` to `[bundle]`, or call `mycelium check FILE -- \
                PROGRAM ARGUMENTS`";
    if args.output != Form::Text {
        let problem =
            format!("{file} names no program, without which services are not known: {help}");
        return Err(Failure::Usage(problem));
    }
    let nodes: Vec<&str> = topology.nodes().collect();
    let nodes = match nodes.len() {
        0 => "no nodes".to_owned(),
        nodes_of => format!("{} (`{}`)", count(nodes_of, "node"), nodes.join("`, `")),
    };
    let mut text = format!(
        "{file}: {nodes}; the file alone has no mistake\nIt names no program, so services, topics \
         and links are not checked: {help}.\n"
    );
    let warnings = topology.foreign_executors();
    if !warnings.is_empty() {
        text += "\nwarnings\n";
        warnings.iter().for_each(|warning| text += &format!("  {warning}\n"));
    }
    print(&text)
}

/// Returns the commands of the nodes that are not `described`, or none if neither the file nor the
/// command line has a command.
fn commands(
    topology: &Topology,
    given: &[String],
    described: &[(&str, Description)],
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
    let is_described = |node: &&str| described.iter().any(|(known, _)| known == node);
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
fn described(topology: &Topology) -> Result<Vec<(&str, Description)>, Failure> {
    let nodes = topology.nodes().filter(|node| topology.command(node).is_none());
    let described = nodes.map(|node| Ok(topology.description(node)?.map(|it| (node, it))));
    let described: Result<_, TopologyError> = described.filter_map(Result::transpose).collect();
    described.map_err(|error| Failure::Found(error.to_string()))
}

/// Makes the overview from the programs' descriptions.
fn overview(
    args: &CheckArgs,
    topology: &Topology,
    commands: &[NodeCommand],
    described: &[(&str, Description)],
) -> Result<Overview, Failure> {
    let mut runs = Runs::new(args.timeout, args.files.clone())?;
    let mut descriptions = Vec::<Description>::new();
    for command in commands {
        // Nodes with the same program and arguments share one description, so the program runs
        // once.
        let is_same = |other: &NodeCommand| {
            (&other.program, &other.arguments) == (&command.program, &command.arguments)
        };
        let mut known = commands.iter().zip(&descriptions);
        let description = match known.find(|(other, _)| is_same(other)) {
            Some((_, description)) => description.clone(),
            None => runs.describe(command)?,
        };
        descriptions.push(description);
    }
    let names: Vec<String> = commands.iter().map(program::name).collect();
    let has_nodes = topology.nodes().next().is_some();
    let programs = commands.iter().zip(&names).zip(&descriptions);
    let programs = programs.map(|((command, program), description)| NodeProgram {
        node: if has_nodes { &command.node } else { description.node() },
        program,
        description,
    });
    let of_files = described.iter().map(|(node, description)| NodeProgram {
        node,
        program: "(described)",
        description,
    });
    let overview = topology.overview(&programs.chain(of_files).collect::<Vec<_>>());
    overview.map_err(mistakes)
}

/// Joins all mistakes, one per line.
fn mistakes(errors: Vec<Problem>) -> Failure {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match lines.len() {
        1 => Failure::Found(lines.concat()),
        count => Failure::Found(format!("{count} mistakes\n{}", lines.join("\n"))),
    }
}
