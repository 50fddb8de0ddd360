//! `check`: the nodes, topics and links of a topology before it runs, or its mistakes.
//!
//! Read `text`, then `picture`, whose boxes `layout` places and `svg` draws; `live` is `check
//! --live`. This module uses the crate's `live` and `shared`.

mod layout;
mod live;
mod picture;
mod svg;
mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use mycelium::Topology;
use mycelium::error::Problem;
use mycelium::overview::{NodeProgram, Overview};
use mycelium::topology::TopologyFiles;
use serde::Serialize;

use crate::shared::clock::duration;
use crate::shared::describe::{self, Described};
use crate::shared::exit::Failure;
use crate::shared::output::{Format, count, json, print};
use live::Limits;

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
        return live::run(&args.limits, &topology, format);
    }
    if !args.limits.target.is_all() {
        let problem = "`--node`, `--pid` and `--directory` are for nodes that run: add `--live`";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let file = args.file.iter().map(|file| file.display().to_string()).collect::<String>();
    let programs = describe::programs(&topology, &args.command, args.timeout, args.files.clone())?;
    if programs.is_empty() {
        return without_programs(args, &topology, &file);
    }
    let overview = overview(&topology, &programs)?;
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

/// Makes the overview from the programs' descriptions.
fn overview(topology: &Topology, programs: &[Described]) -> Result<Overview, Failure> {
    let programs = programs.iter().map(|Described { node, program, description }| NodeProgram {
        node,
        program,
        description,
    });
    topology.overview(&programs.collect::<Vec<_>>()).map_err(mistakes)
}

/// Joins all mistakes, one per line.
fn mistakes(errors: Vec<Problem>) -> Failure {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match lines.len() {
        1 => Failure::Found(lines.concat()),
        count => Failure::Found(format!("{count} mistakes\n{}", lines.join("\n"))),
    }
}
