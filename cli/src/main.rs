//! The program `mycelium`. The library of this package has what it does.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use mycelium_cli::args::Cli;
use mycelium_cli::exit::Failure;
use mycelium_cli::output::{print_error, printable};

fn main() -> ExitCode {
    match mycelium_cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::OutputClosed) {
                // Names in it may be those of other programs.
                let text = failure.to_string();
                let lines: Vec<_> = text.lines().map(printable).collect();
                print_error(format!("error: {}\n", lines.join("\n")));
            }
            failure.code()
        }
    }
}
