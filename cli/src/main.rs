//! The program `mycelium`. The library of this package has all of its code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use mycelium_cli::Cli;
use mycelium_cli::shared::output::{print_error, report};

fn main() -> ExitCode {
    match mycelium_cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = report(&failure) {
                print_error(text);
            }
            ExitCode::from(failure.code())
        }
    }
}
