//! Bandit as a bundle of processes: `bandit bundled` starts a process of itself for each node of
//! the topology, and serves the recorded day to the first of them.

use std::{
    env, fmt,
    io::{self, Write},
    os::unix::process::ExitStatusExt,
    process::{Command, ExitCode, ExitStatus},
    sync::Arc,
    time::Duration,
};

use bandit::{
    app::{self, Failure, Run},
    feed::Feed,
    report,
    signals::SignalFile,
};
use futures_channel::oneshot;
use mycelium::{Restart, StartError, end_with_launcher};
use mycelium_bundle::{
    Bundle, BundleError, BundleEvent, BundleReport, Member, MemberOutcome, MemberReport,
};
use mycelium_executor::Executor;

use crate::args::{BundledArgs, MemberArgs, RunArgs};
use crate::directories::{self, Directories};
use crate::observe::Observed;
use crate::output::{say, user_error};

/// The grace period of a member after its launcher ends; the nodes need up to five seconds.
const GRACE: Duration = Duration::from_secs(10);
/// A member loses nothing when it dies, and restarts within some milliseconds.
const RESTART: Restart = Restart {
    limit: 20,
    window: Duration::from_secs(60),
    backoff: Duration::from_millis(20),
    longest: Duration::from_secs(1),
};
/// The number of the signal that requests a process to end.
const SIGTERM: i32 = 15;

/// Runs the nodes of the topology, or those of some of its hosts, as processes, until they have
/// completed.
pub(crate) async fn launch(
    BundledArgs { host, observe, run: mut args }: BundledArgs,
    executor: Arc<dyn Executor>,
) -> Result<(), Box<dyn std::error::Error>> {
    // Another host may have the writer.
    if let Some(path) = args.signals.as_deref().filter(|_| host.is_empty()) {
        SignalFile::check(path)?;
    }
    let program = env::current_exe()?;
    let directories = Arc::new(Directories::new()?);
    let observed = match observe {
        true => Some(Observed::start(&directories.state, &mut args)?),
        false => None,
    };
    let options = args.options(None);
    let nodes = app::bundle(&options, &host).map_err(user_error)?;
    if let Some(observed) = &observed {
        observed.announce();
    }
    let (url, feed) = match &options.url {
        Some(url) => (url.clone(), None),
        None => {
            let recording = app::load(options.recording.as_deref()).map_err(user_error)?;
            let feed = Arc::new(Feed::new(recording, options.feed.clone()));
            let served = app::serve(feed, "127.0.0.1:0", executor.clone()).await;
            let (running, address) = served.map_err(user_error)?;
            (format!("ws://{address}"), Some(running))
        }
    };
    let begin = executor.now();
    // Restarts are logged.
    let mut bundle = Bundle::new().observe(|event| match event {
        BundleEvent::Restarting { .. } => {}
        event => say(&event.to_string()),
    });
    for (node, sources) in &nodes {
        let command = {
            let (program, args, node) = (program.clone(), args.clone(), node.clone());
            let (url, directories) = (url.clone(), directories.clone());
            let environment = observed.as_ref().map_or_else(Vec::new, Observed::environment);
            move || {
                let mut command = args.member(Command::new(&program), &node, &url, &directories);
                command.envs(environment.iter().map(|(name, value)| (name, value)));
                command
            }
        };
        let member = Member::new(node, command).restart(RESTART);
        bundle =
            bundle.member(sources.iter().fold(member, |member, source| member.ends_after(source)));
    }
    // It blocks until its processes have ended.
    let (done, report) = oneshot::channel();
    executor.blocking(Box::new(|| drop(done.send(bundle.run()))))?;
    let report = report.await?;
    drop(directories);
    let took = executor.now() - begin;
    if let Some(feed) = feed {
        feed.shutdown();
        feed.join().await?;
    }
    let end = End::of(&report);
    match &report {
        Ok(report) => say(&format!("{end} in {took:.1?}: {}", processes(report))),
        Err(_) => say(&format!("{end} in {took:.1?}")),
    }
    let report = report?;
    if end == End::Done
        // Another host may have the writer.
        && let Some(path) = options.signals.filter(|path| path.exists())
    {
        say(&format!("signals    written to {}", path.display()));
    }
    if let Some(observed) = observed {
        observed.end();
    }
    match report.members.iter().find(|member| has_failed(member)) {
        Some(MemberReport { name, status: Some(status), .. }) => {
            Err(format!("{name} failed and was not restarted: {status}").into())
        }
        _ => Ok(()),
    }
}

/// How a bundle ended, as its last line says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// All members have completed.
    Done,
    /// It was stopped before that.
    Early,
    /// A member failed.
    Failed,
}

impl End {
    fn of(report: &Result<BundleReport, BundleError>) -> Self {
        match report {
            Ok(report) if report.members.iter().any(has_failed) => Self::Failed,
            Ok(report) if report.stopped => Self::Early,
            Ok(_) => Self::Done,
            Err(_) => Self::Failed,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Early => "ended early",
            Self::Failed => "ended",
        })
    }
}

fn processes(report: &BundleReport) -> String {
    let members = report.members.len();
    let starts: u64 = report.members.iter().map(|member| member.starts).sum();
    format!("{members} processes, {} restarts", starts.saturating_sub(members as u64))
}

/// Whether a member failed. One that was never started did not, and neither did one that got the
/// signal to end before it could handle it.
fn has_failed(member: &MemberReport) -> bool {
    let died = |status: ExitStatus| !status.success() && status.signal() != Some(SIGTERM);
    member.outcome != MemberOutcome::Completed && member.status.is_some_and(died)
}

/// Runs one node of the bundle. Its last line has the figures of the node.
pub(crate) async fn member(
    member: MemberArgs,
    executor: Arc<dyn Executor>,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    end_with_launcher(GRACE)?;
    let MemberArgs { node, directory, state, run } = member;
    let Some(_lock) = directories::hold(&state)? else {
        return Err(format!("{node}: the directory {} is gone", state.display()).into());
    };
    let state = Some(state);
    let options = run.options(Some(app::Member { node: node.clone(), directory, state }));
    let run = match Run::prepare(&options, &executor).await {
        Ok(run) => run,
        Err(failure) if failure.is_permanent() => {
            let _ = writeln!(io::stderr(), "error: {node}: {failure}");
            return Ok(ExitCode::from(Bundle::NO_RESTART));
        }
        Err(failure) => return Err(format!("{node}: {}", user_error(failure)).into()),
    };
    let (board, begin) = (run.board.clone(), executor.now());
    match run.finish(executor.clone()).await {
        Ok(_) => {}
        Err(failure @ Failure::Node(StartError::Undelivered { .. })) => {
            let _ = writeln!(io::stderr(), "error: {node}: {failure}");
            return Ok(ExitCode::from(Bundle::UNDELIVERED));
        }
        // Its error is permanent, or the address of a node is in use or not of this machine.
        Err(
            failure @ Failure::Node(
                StartError::ServiceFailed { restarts: 0, .. }
                | StartError::Bind { .. }
                | StartError::Metrics { .. },
            ),
        ) => {
            let _ = writeln!(io::stderr(), "error: {node}: {}", user_error(failure));
            return Ok(ExitCode::from(Bundle::NO_RESTART));
        }
        Err(failure) => return Err(format!("{node}: {}", user_error(failure)).into()),
    }
    let snapshot = board.figures().snapshot(executor.now() - begin);
    say(&format!("{node}: {}", report::member(&snapshot)));
    Ok(ExitCode::SUCCESS)
}

impl RunArgs {
    /// The command that runs one node of the bundle.
    fn member(
        &self,
        mut command: Command,
        node: &str,
        url: &str,
        directories: &Directories,
    ) -> Command {
        command.args(["member", node, "--directory"]).arg(&directories.sockets);
        command.arg("--state").arg(&directories.state).args(["--url", url]);
        command.args(["--executor", self.executor.name()]);
        let files = [
            ("--signals", &self.signals),
            ("--database", &self.database),
            ("--topology", &self.topology),
        ];
        for (name, path) in files {
            if let Some(path) = path {
                command.arg(name).arg(path);
            }
        }
        if let Some(seed) = self.faults {
            command.args(["--faults", &seed.to_string()]);
        }
        command
    }
}
