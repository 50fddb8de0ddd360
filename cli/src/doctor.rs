//! `doctor`: whether the machine has what nodes need, and how to mend what it has not.

pub mod checks;
pub mod machine;
pub mod needs;

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mycelium::Topology;

use crate::exit::Failure;
use crate::terminal;
use checks::{Finding, Level};
use machine::Machine;
use needs::Needs;

/// The arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A topology: what its nodes need is checked, too.
    #[arg(value_name = "FILE")]
    topology: Option<PathBuf>,
    /// How the result is printed.
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Table)]
    output: Form,
    /// The directory with `proc` and `sys` of the machine.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines for people.
    Table,
    /// An array of objects in one line.
    Json,
}

/// Checks the machine.
///
/// # Errors
/// If there is a problem, or the topology cannot be read.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let topology = args.topology.as_ref().map(Topology::load).transpose();
    let topology = topology.map_err(|error| Failure::Usage(error.to_string()))?;
    let needs = topology.as_ref().map(Needs::of);
    let machine = Machine::new(&args.root);
    let runtime = match machine.is_real() {
        true => env::var_os("XDG_RUNTIME_DIR").filter(|it| !it.is_empty()).map(PathBuf::from),
        false => machine.user().map(|user| Path::new("/run/user").join(user.to_string())),
    };
    let findings = checks::all(&machine, needs.as_ref(), runtime);
    let text = match args.output {
        Form::Table => table(&findings),
        Form::Json => {
            let json = serde_json::to_string(&findings);
            format!("{}\n", json.map_err(|error| Failure::output(error.into()))?)
        }
    };
    let printed = io::stdout().write_all(text.as_bytes()).map_err(Failure::output);
    let result = match findings.iter().filter(|it| it.level == Level::Problem).count() {
        0 => Ok(()),
        1 => Err(Failure::Found("this machine has a problem".to_owned())),
        problems => Err(Failure::Found(format!("this machine has {problems} problems"))),
    };
    Failure::after(printed, result)
}

fn table(findings: &[Finding]) -> String {
    let has_colours = terminal::has_colours();
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Finding { check, level, found, meaning, fix } in findings {
        let (word, colour) = match level {
            Level::Ok => ("ok", 32),
            Level::Note => ("note", 33),
            Level::Problem => ("problem", 31),
        };
        let word = format!("{word:7}");
        let word = match has_colours {
            true => format!("\x1b[{colour}m{word}\x1b[0m"),
            false => word,
        };
        text.push_str(&format!("{word}  {check:width$}  {found}\n"));
        let indent = " ".repeat(9 + width + 2);
        text.push_str(&terminal::wrapped(meaning, terminal::width(), &indent));
        if !fix.is_empty() {
            text.push_str(&terminal::wrapped(&format!("fix: {fix}"), terminal::width(), &indent));
        }
    }
    text
}
