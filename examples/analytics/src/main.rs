//! The command line.

use std::path::PathBuf;

use analytics::app::{self, Options};
use analytics::load;
use clap::{Parser, Subcommand};
use mycelium::Result;

/// Replays real swaps through a pipeline, and shows windows, rates and losses on a live page.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run each stage as a process. They share memory, and those that are killed are restarted.
    Bundled,
    /// Run for some time, and check that each event is accounted for.
    Load {
        /// How long events are sent, in seconds.
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// The plot of rates and latencies.
        #[arg(long, value_name = "FILE", default_value = "load.svg")]
        plot: PathBuf,
    },
    #[command(hide = true)]
    Member { node: String, options: String },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Cli { command, options } = Cli::parse();
    match command {
        None => load::run(options, "analytics.toml").await.map(drop),
        Some(Command::Bundled) => app::bundled(options).await,
        Some(Command::Load { seconds, plot }) => load::measure(options, seconds, &plot).await,
        Some(Command::Member { node, options }) => app::member(&node, &options).await,
    }
}
