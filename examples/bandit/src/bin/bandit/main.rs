//! The command line of bandit, and its output.

#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "this is a command-line program")]

mod args;
mod bundled;
mod certificates;
mod executors;
mod observe;
mod output;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use args::{BundledArgs, MemberArgs, RunArgs};
use bandit::{
    app::{self, Member, Run},
    signals::SignalFile,
};
use clap::{Parser, Subcommand};
use executors::ExecutorKind;
use mycelium::{Error, Result};
use mycelium_executor::Executor;
use output::{say, user_error};
use signal_hook::consts::SIGXFSZ;
use tracing_subscriber::EnvFilter;

/// Follows the swaps of Uniswap V3 pools and reports when the prices of two pools differ by more
/// than their fees. Without options it replays a recorded day as fast as possible.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
    /// Print a description of the services as JSON, for `mycelium check`, and do nothing else.
    #[arg(long, global = true)]
    describe: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the services as several processes, one for each node of the topology (three by default).
    Bundled(BundledArgs),
    /// Write certificates for a topology with TLS, to try it out: an authority, and one for each
    /// node.
    Certificates {
        /// Their directory.
        #[arg(value_name = "DIRECTORY")]
        directory: PathBuf,
        /// The names of the nodes.
        #[arg(value_name = "NODE", default_values = ["collector", "detector", "writer"])]
        nodes: Vec<String>,
    },
    /// One process of a bundle.
    #[command(hide = true)]
    Member(MemberArgs),
}

fn main() -> ExitCode {
    let Cli { command, run, describe } = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    logs.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).init();
    let executor = match &command {
        Some(Command::Bundled(bundled)) => bundled.run.executor,
        Some(Command::Member(member)) => member.run.executor,
        Some(Command::Certificates { .. }) => ExecutorKind::default(),
        None => run.executor,
    };
    // With a handler, a file that cannot grow (`ulimit -f`) is an error. Without it the process
    // dies, and a bundle restarts it until the limit.
    let done = signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(Error::from);
    let done = done.and_then(|_| match describe {
        true => describe_to(command, &run),
        false => executors::run(executor, |executor| start(command, run, executor)).flatten(),
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// What `--describe` prints.
fn describe_to(command: Option<Command>, run: &RunArgs) -> Result<ExitCode> {
    let options = match command {
        Some(Command::Member(MemberArgs { node, directory, run, .. })) => {
            run.options(Some(Member { node, directory, state: None }))
        }
        _ => run.options(None),
    };
    say(&app::describe(&options)?.to_json());
    Ok(ExitCode::SUCCESS)
}

async fn start(
    command: Option<Command>,
    run: RunArgs,
    executor: Arc<dyn Executor>,
) -> Result<ExitCode> {
    match command {
        Some(Command::Bundled(args)) => bundled::launch(args, executor).await?,
        Some(Command::Member(args)) => return bundled::member(args, executor).await,
        Some(Command::Certificates { directory, nodes }) => {
            certificates::write(&directory, &nodes)?;
            let (nodes, directory) = (nodes.join(", "), directory.display());
            say(&format!("certificates of {nodes}, and of their authority, are in {directory}"));
        }
        None => {
            let options = run.options(None);
            let _reserved = options.signals.as_deref().map(SignalFile::reserve).transpose()?;
            let (run, begin) = (Run::prepare(&options, &executor).await?, executor.now());
            let report = run.finish(executor.clone()).await.map_err(user_error)?;
            say(&format!("done in {:.2?}\n{}", executor.now() - begin, app::summary(&report)));
            if let Some(path) = &options.signals {
                say(&format!("signals    written to {}", path.display()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
