//! The tool `mycelium`: understands a topology before it runs, and a node while it runs.
//!
//! Each verb is a module with its arguments and a function `run`. A verb writes what it was run for
//! to standard output, and all else to standard error; [`Failure`] says how it ends.
//!
//! To read: [`args`] (the command line), [`exit`] (how a run ends), then the module of a verb.
#![forbid(unsafe_code)]

pub mod args;
pub mod bundle;
pub mod check;
pub mod clock;
pub mod completions;
pub mod doctor;
pub mod down;
pub mod duration;
pub mod exit;
pub mod explain;
pub mod launcher;
pub mod live;
pub mod output;
pub mod status;
pub mod tap;
pub mod terminal;
pub mod top;
pub mod up;

use clap::CommandFactory;

use args::{Cli, Verb};
use exit::Failure;

/// Runs what the command line says.
///
/// # Errors
/// Those of the verb.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.verb {
        Verb::Check(args) => check::run(&args),
        Verb::Tap(args) => tap::run(&args),
        Verb::Up(args) => up::run(&args),
        Verb::Down(args) => down::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Launcher(args) => launcher::run(args),
        Verb::Ls(args) => live::ls::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Hz(args) => live::hz::run(&args),
        Verb::Counters(args) => live::counters::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Completions(args) => completions::run(&args, Cli::command()),
    }
}
