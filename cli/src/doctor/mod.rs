//! `doctor`: whether the machine has everything that nodes need, and how to mend what is missing.
//!
//! Read `checks` (the checks), `machine` (the kernel's files that they read), `needs` (the needs of
//! a topology's nodes). This module uses only `shared`.

mod checks;
mod machine;
mod needs;

use std::env;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mycelium::Topology;

use crate::shared::exit::Failure;
use crate::shared::output::{json, print};
use crate::shared::terminal::{styled, wrapped};
use checks::{Finding, Level, all};
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
    let topology = topology.map_err(Failure::usage)?;
    let needs = topology.as_ref().map(Needs::of);
    let machine = Machine::new(&args.root);
    let runtime = match machine.is_real() {
        true => env::var_os("XDG_RUNTIME_DIR").filter(|it| !it.is_empty()).map(PathBuf::from),
        false => machine.user().map(|user| Path::new("/run/user").join(user.to_string())),
    };
    let findings = all(&machine, needs.as_ref(), runtime);
    let text = match args.output {
        Form::Table => table(&findings),
        Form::Json => json(&findings)?,
    };
    let printed = print(&text);
    let result = match findings.iter().filter(|it| it.level == Level::Problem).count() {
        0 => Ok(()),
        1 => Err(Failure::Found("this machine has a problem".to_owned())),
        problems => Err(Failure::Found(format!("this machine has {problems} problems"))),
    };
    // The problem is returned even if the output is closed.
    result.and(printed)
}

fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Finding { check, level, found, meaning, fix } in findings {
        let (word, colour) = match level {
            Level::Ok => ("ok", 32),
            Level::Note => ("note", 33),
            Level::Problem => ("problem", 31),
        };
        let word = styled(&format!("{word:7}"), colour);
        text.push_str(&format!("{word}  {check:width$}  {found}\n"));
        let indent = " ".repeat(9 + width + 2);
        text.push_str(&wrapped(meaning, &indent));
        if !fix.is_empty() {
            text.push_str(&wrapped(&format!("fix: {fix}"), &indent));
        }
    }
    text
}
