//! Bandit as a bundle of processes: `bandit bundled` makes one of itself for each node of the
//! topology, and serves the recorded day to the one that asks for it.

use std::{
    env, fmt, fs,
    io::{self, Write},
    os::unix::{fs::DirBuilderExt, process::ExitStatusExt},
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus},
    sync::Arc,
    time::Duration,
};

use bandit::{
    app::{self, Failure, Options, Run},
    feed::Feed,
    report,
};
use futures_channel::oneshot;
use mycelium::{Restart, StartError, end_with_launcher};
use mycelium_bundle::{
    Bundle, BundleError, BundleEvent, BundleReport, Member, MemberOutcome, MemberReport,
};
use mycelium_executor::Executor;

use crate::{MemberArgs, RunArgs, clearer, say};

/// A node has five seconds to end.
const GRACE: Duration = Duration::from_secs(10);
/// A member loses nothing when it dies, and has begun again in some milliseconds.
const RESTART: Restart = Restart {
    limit: 20,
    window: Duration::from_secs(60),
    backoff: Duration::from_millis(20),
    longest: Duration::from_secs(1),
};
/// The number of the signal that asks a process to end.
const SIGTERM: i32 = 15;

/// Runs all nodes of the topology as processes, until they have done their work.
pub(crate) async fn launch(
    args: RunArgs,
    executor: Arc<dyn Executor>,
) -> Result<(), Box<dyn std::error::Error>> {
    let program = env::current_exe()?;
    let options = args.options(None);
    let nodes = app::bundle(&options).map_err(clearer)?;
    let room = Arc::new(Room::new()?);
    let (url, feed) = match &options.url {
        Some(url) => (url.clone(), None),
        None => {
            let recording = app::load(options.recording.as_deref()).map_err(clearer)?;
            let feed = Arc::new(Feed::new(recording, options.feed.clone()));
            let served = app::serve(feed, "127.0.0.1:0", executor.clone()).await;
            let (running, address) = served.map_err(clearer)?;
            (format!("ws://{address}"), Some(running))
        }
    };
    let begin = executor.now();
    // That one is restarted stands in the log.
    let mut bundle = Bundle::new().observe(|event| match event {
        BundleEvent::Restarting { .. } => {}
        event => say(&event.to_string()),
    });
    for (node, sources) in &nodes {
        let command = {
            let (program, args, node) = (program.clone(), args.clone(), node.clone());
            let (url, room) = (url.clone(), room.clone());
            move || args.member(Command::new(&program), &node, &url, &room)
        };
        let member = Member::new(node, command).restart(RESTART);
        bundle =
            bundle.member(sources.iter().fold(member, |member, source| member.ends_after(source)));
    }
    // It blocks until its processes have ended.
    let (tell, told) = oneshot::channel();
    executor.blocking(Box::new(|| drop(tell.send(bundle.run()))))?;
    let report = told.await?;
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
        && let Some(path) = options.signals
    {
        say(&format!("signals    written to {}", path.display()));
    }
    match report.members.iter().find(|member| has_failed(member)) {
        Some(MemberReport { name, status: Some(status), .. }) => {
            Err(format!("{name} has failed and was not started again: {status}").into())
        }
        _ => Ok(()),
    }
}

/// How a bundle ended, in the word of its last line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// All members have done their work.
    Done,
    /// It was asked to end before that.
    Early,
    /// A member has failed.
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

/// A member that was asked to end before it could handle the signal, or was never started, has not failed.
fn has_failed(member: &MemberReport) -> bool {
    let died = |status: ExitStatus| !status.success() && status.signal() != Some(SIGTERM);
    member.outcome != MemberOutcome::Completed && member.status.is_some_and(died)
}

/// Runs one node of the bundle. Its last line is the node's own figures.
pub(crate) async fn member(
    member: MemberArgs,
    executor: Arc<dyn Executor>,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    end_with_launcher(GRACE)?;
    let MemberArgs { node, directory, state, run } = member;
    let state = Some(state);
    let options = run.options(Some(app::Member { node: node.clone(), directory, state }));
    let run = match Run::prepare(&options, &executor).await {
        Ok(run) => run,
        Err(failure) if failure.is_permanent() => {
            let _ = writeln!(io::stderr(), "error: {node}: {failure}");
            return Ok(ExitCode::from(Bundle::NO_RESTART));
        }
        Err(failure) => return Err(format!("{node}: {}", clearer(failure)).into()),
    };
    let (board, begin) = (run.board.clone(), executor.now());
    match run.finish(executor.clone()).await {
        Ok(_) => {}
        Err(failure @ Failure::Node(StartError::Undelivered { .. })) => {
            let _ = writeln!(io::stderr(), "error: {node}: {failure}");
            return Ok(ExitCode::from(Bundle::UNDELIVERED));
        }
        Err(failure) => return Err(format!("{node}: {}", clearer(failure)).into()),
    }
    let snapshot = board.figures().snapshot(executor.now() - begin);
    say(&format!("{node}: {}", report::member(&snapshot)));
    Ok(ExitCode::SUCCESS)
}

/// The directories of one bundle, gone with it.
struct Room {
    /// Where its processes meet; they make it.
    meeting: PathBuf,
    /// Where their states are.
    state: PathBuf,
}

impl Room {
    fn new() -> io::Result<Self> {
        let meeting = mycelium::private_directory(&format!("bandit-{}", std::process::id()));
        let state = meeting.with_added_extension("state");
        for path in [&meeting, &state] {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::DirBuilder::new().mode(0o700).create(&state)?;
        Ok(Self { meeting, state })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What is left there is of no use to anybody, and in nobody's way.
        let _ = fs::remove_dir_all(&self.meeting);
        let _ = fs::remove_dir_all(&self.state);
    }
}

impl RunArgs {
    /// The command that runs one node of the bundle.
    fn member(&self, mut command: Command, node: &str, url: &str, room: &Room) -> Command {
        command.args(["member", node, "--directory"]).arg(&room.meeting);
        command.arg("--state").arg(&room.state).args(["--url", url]);
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

    /// What is to run, as a whole or as one process of a bundle.
    pub(crate) fn options(&self, member: Option<app::Member>) -> Options {
        Options {
            url: self.url.clone(),
            feed: self.replay.settings(),
            recording: self.replay.recording.clone(),
            database: self.database.clone(),
            signals: self.signals.clone(),
            topology: self.topology.clone(),
            member,
            faults: self.faults,
        }
    }
}
