//! The command line of bandit, and its output.

#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "this is a command-line program")]

mod bundled;
mod certificates;
mod executors;
mod load;
mod observe;
mod output;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use bandit::{
    app::{self, Member, Options, Run},
    signals::SignalFile,
};
use bundled::RunArgs;
use clap::{Parser, Subcommand};
use executors::ExecutorKind;
use load::LoadArgs;
use mycelium::{Error, Result};
use mycelium_executor::Executor;
use output::{say, tell, user_error};
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
    Bundled {
        /// Start the nodes of this host of the topology; can be given several times. By default the
        /// host whose address this machine has.
        #[arg(long, value_name = "NAME")]
        host: Vec<String>,
        /// Show what the processes do: the metrics of each process and, at the end, the trace of a
        /// swap. The recorded day takes a minute, unless `--speed` says otherwise.
        #[arg(long, conflicts_with_all = ["topology", "host"])]
        observe: bool,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Send the recorded swaps at a fixed rate, and print a line of JSON: how many have reached a
    /// service beside the detector, and how late.
    Load(LoadArgs),
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
    Member {
        #[command(flatten)]
        member: Member,
        #[command(flatten)]
        run: RunArgs,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // A line that cannot be written (a full disk, a closed pipe) is lost, and the run goes on.
    let logs = logs.log_internal_errors(false);
    logs.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).init();
    let executor = match &cli.command {
        Some(Command::Bundled { run, .. } | Command::Member { run, .. }) => run.executor,
        // The timers of tokio have a resolution of a millisecond.
        Some(Command::Load(_)) => ExecutorKind::Smol,
        _ => cli.run.executor,
    };
    // With a handler, a file that cannot grow (`ulimit -f`) is an error. Without it the process
    // dies, and a bundle restarts it until the limit.
    let done = signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(Error::from);
    let done = done.and_then(|_| match cli.describe {
        true => describe(cli),
        false => executors::run(executor, |executor| start(cli, executor)).flatten(),
    });
    let done = done.and_then(|code| output::check().map(|()| code));
    done.unwrap_or_else(|error| {
        tell(&format!("error: {error}"));
        ExitCode::FAILURE
    })
}

/// What `--describe` prints.
fn describe(cli: Cli) -> Result<ExitCode> {
    let options = match cli.command {
        Some(Command::Member { member, run }) => Options { member: Some(member), ..run.options },
        _ => cli.run.options,
    };
    say(&app::describe(&options)?.to_json());
    Ok(ExitCode::SUCCESS)
}

async fn start(cli: Cli, executor: Arc<dyn Executor>) -> Result<ExitCode> {
    match cli.command {
        Some(Command::Bundled { host, observe, run }) => {
            bundled::launch(&host, observe, run, executor).await?;
        }
        Some(Command::Member { member, run }) => {
            return bundled::member(member, run.options, executor).await;
        }
        Some(Command::Load(args)) => load::measure(args, executor).await?,
        Some(Command::Certificates { directory, nodes }) => {
            certificates::write(&directory, &nodes)?;
            let (nodes, directory) = (nodes.join(", "), directory.display());
            say(&format!("certificates of {nodes}, and of their authority, are in {directory}"));
        }
        None => {
            let options = cli.run.options;
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
