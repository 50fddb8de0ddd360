//! The program `mycelium`. The library of this package has what it does.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use mycelium_cli::args::Cli;
use mycelium_cli::exit::Failure;
use mycelium_cli::output::printable;

fn main() -> ExitCode {
    match mycelium_cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::OutputClosed) {
                // Names in it may be those of other programs.
                let text = failure.to_string();
                let lines: Vec<_> = text.lines().map(printable).collect();
                // Without standard error there is only the exit code.
                let _ = writeln!(io::stderr(), "error: {}", lines.join("\n"));
            }
            failure.code()
        }
    }
}
