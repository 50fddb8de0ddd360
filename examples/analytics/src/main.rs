//! The command line.

use std::process::ExitCode;

use analytics::app::{self, Options};
use analytics::load::{self, Load};
use clap::{Parser, Subcommand};
use mycelium::Result;

/// Replays real swaps through a pipeline, and shows windows, rates and losses on a live page.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run each stage as a process. They share memory, and those that are killed are restarted.
    Bundled(Options),
    /// Run for some minutes, and check that each event is accounted for.
    Load(Load),
    #[command(hide = true)]
    Member { node: String, options: String },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    run(Cli::parse()).await.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

async fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        None => load::run(cli.options).await.map(|_| ExitCode::SUCCESS),
        Some(Command::Bundled(options)) => app::bundled(options).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Load(load)) => load::measure(load).await,
        Some(Command::Member { node, options }) => app::member(&node, &options).await,
    }
}
