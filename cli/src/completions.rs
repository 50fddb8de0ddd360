//! `completions`: prints the script with which a shell completes the command line.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::shared::exit::Failure;

/// The arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script of the shell for `command`, the whole command line.
///
/// # Errors
/// If it cannot be written.
pub fn run(args: &CompletionsArgs, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "mycelium", &mut script);
    io::stdout().write_all(&script).map_err(Failure::output)
}
