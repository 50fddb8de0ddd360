//! The command line of bandit, and what its user sees.

#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "this is a command-line program")]

mod bundled;
mod executors;
mod logs;

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal, Write},
    num::NonZeroUsize,
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use bandit::{
    app::{self, Failure, Run},
    feed::{Drops, Feed, Pace, Settings},
    report::{self, Paint, Screen},
};
use clap::{Args, Parser, Subcommand};
use executors::Kind;
use futures_util::future::{Either, select};
use logs::Logs;
use mycelium::StartError;
use mycelium_executor::Executor;

/// The last logs before a dropped connection's end that are never sent to it.
const LOST_AT_DROP: usize = 3;

/// Follows the swaps of Uniswap V3 pools and reports when two pools of a pair stand further apart
/// than their fees. Without options it replays a recorded day, as fast as it can.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

impl Cli {
    fn executor(&self) -> Kind {
        match &self.command {
            Some(Command::Feed { executor, .. }) => *executor,
            Some(Command::Bundled(run)) => run.executor,
            Some(Command::Member(member)) => member.run.executor,
            None => self.run.executor,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Serve the recorded day to others, as an Ethereum node would (JSON-RPC over WebSocket).
    Feed {
        /// Where to listen.
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8545")]
        listen: String,
        /// Run on this executor.
        #[arg(long, value_enum, default_value_t)]
        executor: Kind,
        #[command(flatten)]
        replay: ReplayArgs,
    },
    /// Do the same with a process for each node of the topology; by default these are three.
    Bundled(RunArgs),
    /// One process of a bundle.
    #[command(hide = true)]
    Member(MemberArgs),
}

#[derive(Args)]
struct MemberArgs {
    /// The node of the topology.
    node: String,
    /// Where the processes meet.
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Where the states of its services outlive it.
    #[arg(long, value_name = "DIRECTORY")]
    state: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Args, Clone)]
struct RunArgs {
    /// Follow this node (ws://host:port/path) instead of the recorded day.
    #[arg(long, value_name = "URL", conflicts_with_all = ["recording", "speed", "drop_every", "drop_at"])]
    url: Option<String>,
    #[command(flatten)]
    replay: ReplayArgs,
    /// Write the signals to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    signals: Option<PathBuf>,
    /// Keep token and pool metadata in this SQLite database; it is made if there is none.
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// Use this topology instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Make each service panic at twenty points that follow from this seed; nothing shall change.
    #[arg(long, value_name = "SEED")]
    faults: Option<u64>,
    /// Run on this executor; the outcome is the same.
    #[arg(long, value_enum, default_value_t)]
    executor: Kind,
    /// Print plain lines even on a terminal.
    #[arg(long)]
    plain: bool,
}

#[derive(Args, Clone)]
struct ReplayArgs {
    /// Replay this recording (JSON lines, may be gzipped) instead of the one brought along.
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// Replay at the recorded pace times this factor; 1440 makes a day a minute.
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    speed: Option<f64>,
    /// Drop the connection after every so many logs.
    #[arg(long, value_name = "LOGS")]
    drop_every: Option<NonZeroUsize>,
    /// Drop the connection after the log of this number; may be given several times.
    #[arg(long, value_name = "LOG", value_parser = clap::value_parser!(NonZeroUsize))]
    drop_at: Vec<NonZeroUsize>,
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
    factor.ok_or_else(|| "expected a number above 0".to_owned())
}

impl ReplayArgs {
    fn settings(&self) -> Settings {
        let at: BTreeSet<usize> = self.drop_at.iter().map(|at| at.get()).collect();
        Settings {
            pace: self.speed.map_or(Pace::Unpaced, |speed| Pace::Recorded { speed }),
            drops: Drops { at, every: self.drop_every, lost: LOST_AT_DROP },
            ..Settings::default()
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
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
    let (running, address) = served.map_err(clearer)?;
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
            return Err(clearer(failure).into());
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

/// Prints a line. Nobody may be reading any more, which ends nothing: the run goes on.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The same error without what the user cannot use.
fn clearer(failure: Failure) -> String {
    match failure {
        Failure::Node(StartError::ServiceFailed { service, error, .. }) => {
            format!("{service}: {error}")
        }
        other => other.to_string(),
    }
}

/// What the user looks at: a table in place on a terminal, lines elsewhere.
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
        // A terminal that is gone ends nothing: the run goes on.
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
