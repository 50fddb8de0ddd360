//! The tool `mycelium`: understands a topology before it runs, and a node while it runs.
//!
//! Each verb is a module with its arguments and a function `run`. A verb writes what it was run for
//! to standard output, and all else to standard error; [`Failure`] says how it ends.
//!
//! To read: [`args`] (the command line), [`exit`] (how a run ends), then the module of a verb.
#![forbid(unsafe_code)]

pub mod args;
pub mod clock;
pub mod completions;
pub mod exit;
pub mod live;
pub mod output;
pub mod tap;
pub mod top;

use clap::CommandFactory;

use args::{Cli, Verb};
use exit::Failure;

/// Runs what the command line says.
///
/// # Errors
/// Those of the verb.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.verb {
        Verb::Tap(args) => tap::run(&args),
        Verb::Completions(args) => completions::run(&args, Cli::command()),
    }
}
