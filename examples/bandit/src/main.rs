//! The command line of bandit, and its output.

#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "this is a command-line program")]

mod args;
mod bundled;
mod certificates;
mod directories;
mod executors;
mod logs;
mod observe;
mod output;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use args::{BundledArgs, MemberArgs, ReplayArgs, RunArgs};
use bandit::{
    app::{self, Run},
    feed::Feed,
    report::{self, Paint, Screen},
    signals::SignalFile,
};
use clap::{Parser, Subcommand};
use executors::ExecutorKind;
use futures_util::future::{Either, select};
use logs::Logs;
use mycelium::Description;
use mycelium_executor::Executor;
use output::{say, user_error};
use signal_hook::consts::SIGXFSZ;

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

impl Cli {
    fn executor(&self) -> ExecutorKind {
        match &self.command {
            Some(Command::Feed { executor, .. }) => *executor,
            Some(Command::Bundled(bundled)) => bundled.run.executor,
            Some(Command::Member(member)) => member.run.executor,
            Some(Command::Certificates { .. }) => ExecutorKind::default(),
            None => self.run.executor,
        }
    }

    /// What `--describe` prints.
    fn description(&self) -> Result<Description, app::Failure> {
        match &self.command {
            Some(Command::Member(MemberArgs { node, directory, run, .. })) => {
                let (node, directory) = (node.clone(), directory.clone());
                let member = app::Member { node, directory, state: None };
                app::describe(&run.options(Some(member)))
            }
            _ => app::describe(&self.run.options(None)),
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Serve the recorded day to other programs like an Ethereum node (JSON-RPC over WebSocket).
    Feed {
        /// The address to listen on.
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8545")]
        listen: String,
        /// Run on this executor.
        #[arg(long, value_enum, default_value_t)]
        executor: ExecutorKind,
        #[command(flatten)]
        replay: ReplayArgs,
    },
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
    let cli = Cli::parse();
    // With a handler, a file that cannot grow (`ulimit -f`) is an error, also one of SQLite.
    // Without it the process dies, and a bundle restarts it until the limit.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        eprintln!("error: signals: {error}");
        return ExitCode::FAILURE;
    }
    if cli.describe {
        return match cli.description() {
            Ok(description) => {
                say(&description.to_json());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let done = executors::run(cli.executor(), async |executor| match cli.command {
        Some(Command::Feed { listen, replay, .. }) => {
            feed(&listen, &replay, executor).await.map(success)
        }
        Some(Command::Bundled(args)) => {
            logs::init(&Logs::default(), true);
            bundled::launch(args, executor).await.map(success)
        }
        Some(Command::Member(args)) => {
            logs::init(&Logs::default(), true);
            bundled::member(args, executor).await
        }
        Some(Command::Certificates { directory, nodes }) => {
            certificates::write(&directory, &nodes)?;
            let (nodes, directory) = (nodes.join(", "), directory.display());
            say(&format!("certificates of {nodes}, and of their authority, are in {directory}"));
            Ok(ExitCode::SUCCESS)
        }
        None => run(cli.run, executor).await.map(success),
    });
    match done.and_then(|done| done) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

async fn feed(
    listen: &str,
    replay: &ReplayArgs,
    executor: Arc<dyn Executor>,
) -> Result<(), Box<dyn std::error::Error>> {
    logs::init(&Logs::default(), true);
    let feed = Arc::new(Feed::new(app::load(replay.recording.as_deref())?, replay.settings()));
    let served = app::serve(feed.clone(), listen, executor.clone()).await;
    let (running, address) = served.map_err(user_error)?;
    say(&format!("{} logs at ws://{address}; Ctrl-C ends", feed.total()));
    executor.interrupted().await?;
    running.shutdown();
    running.join().await?;
    Ok(())
}

async fn run(args: RunArgs, executor: Arc<dyn Executor>) -> Result<(), Box<dyn std::error::Error>> {
    let is_live = io::stdout().is_terminal() && !args.plain;
    let logs = Logs::default();
    logs::init(&logs, !is_live);
    let options = args.options(None);
    if let Some(path) = &options.signals {
        SignalFile::check(path)?;
    }
    let run = Run::prepare(&options, &executor).await?;
    let (board, source, faults) = (run.board.clone(), run.source.clone(), run.faults.clone());
    let begin = executor.now();
    let mut view =
        View { screen: is_live.then(Screen::default), logs, paint: Paint::detect(is_live) };
    let mut finish = pin!(run.finish(executor.clone()));
    let ended = loop {
        let next = executor.sleep_until(executor.now() + view.period());
        match select(finish, next).await {
            Either::Left((ended, _)) => break ended,
            Either::Right(((), running)) => finish = running,
        }
        view.show(&board.figures().snapshot(executor.now() - begin), &source);
    };
    let snapshot = board.figures().snapshot(executor.now() - begin);
    match ended {
        Ok(_) => view.end(&report::summary(&snapshot, &source, view.paint)),
        Err(failure) => {
            view.end("");
            return Err(user_error(failure).into());
        }
    }
    if let Some(path) = &options.signals {
        say(&format!("signals    written to {}", path.display()));
    }
    if options.faults.is_some() {
        for (service, faults) in &faults {
            say(&format!("panics     {:>8}   {service}", faults.happened()));
        }
    }
    Ok(())
}

/// The live output: a table on a terminal, lines elsewhere.
struct View {
    screen: Option<Screen>,
    logs: Logs,
    paint: Paint,
}

impl View {
    fn period(&self) -> Duration {
        Duration::from_millis(if self.screen.is_some() { 100 } else { 500 })
    }

    fn show(&mut self, snapshot: &bandit::figures::Snapshot, source: &str) {
        let Some(screen) = &mut self.screen else {
            say(&report::line(snapshot));
            return;
        };
        let mut terminal = io::stdout().lock();
        // If the terminal is closed, the run continues.
        let _ = screen.print_above(&mut terminal, &self.logs.take());
        let _ = screen.draw(&mut terminal, &report::table(snapshot, source, self.paint));
    }

    fn end(&mut self, summary: &str) {
        let mut terminal = io::stdout().lock();
        if let Some(screen) = &mut self.screen {
            let _ = screen.print_above(&mut terminal, &self.logs.take());
            let _ = screen.clear(&mut terminal);
        }
        let _ = write!(terminal, "{summary}");
    }
}
