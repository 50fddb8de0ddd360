//! The program `mycelium`. The library of this package has what it does.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use mycelium_cli::args::Cli;
use mycelium_cli::exit::Failure;

fn main() -> ExitCode {
    match mycelium_cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::OutputClosed) {
                // Without standard error there is only the exit code.
                let _ = writeln!(io::stderr(), "error: {failure}");
            }
            failure.code()
        }
    }
}
