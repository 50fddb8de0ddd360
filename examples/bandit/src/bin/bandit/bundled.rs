//! Bandit as a bundle of processes: `bandit bundled` starts a process of itself for each node of
//! the topology, and serves the recorded day to the first of them.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::{fs::DirBuilderExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{self, Command, ExitCode, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use bandit::{
    app::{self, Options, Run},
    signals::SignalFile,
};
use clap::{Args, ValueEnum};
use futures_channel::oneshot;
use mycelium::error::{Code, StartError};
use mycelium::execution::end_with_launcher;
use mycelium::supervision::Restart;
use mycelium::untyped::private_directories;
use mycelium::{Error, Result};
use mycelium_bundle::{Bundle, BundleEvent, BundleReport, Member, MemberPhase, MemberStatus};
use mycelium_executor::Executor;

use crate::executors::ExecutorKind;
use crate::observe::Observed;
use crate::output::{say, user_error};

/// The arguments of a run.
#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Run on this executor; the outcome is the same.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) executor: ExecutorKind,
}

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
    host: &[String],
    observe: bool,
    mut args: RunArgs,
    executor: Arc<dyn Executor>,
) -> Result<()> {
    // Reserves no file if only some hosts are started: another host may have the writer.
    let signals = args.options.signals.as_deref().filter(|_| host.is_empty());
    let _reserved = signals.map(SignalFile::reserve).transpose()?;
    let directories = Directories::new()?;
    let observed = match observe {
        true => Some(Observed::start(&directories.state, &mut args.options)?),
        false => None,
    };
    let (sockets, state) = (directories.sockets.clone(), Some(directories.state.clone()));
    args.options.member = Some(app::Member { directory: sockets, state, ..Default::default() });
    let nodes = app::bundle(&args.options, host)?;
    let (url, feed) = app::source(&args.options, &executor).await?;
    let begin = executor.now();
    let mut environment = observed.as_ref().map_or_else(Vec::new, Observed::environment);
    // Not arguments, which every user of the machine can read: a URL may have a key.
    environment.push(("BANDIT_URL", url));
    environment.extend(args.options.store.clone().map(|store| ("BANDIT_STORE", store)));
    let report = run(&args, nodes, &environment, say, Stdio::inherit, &executor).await;
    drop(directories);
    let took = executor.now() - begin;
    if let Some(feed) = feed {
        feed.shutdown();
        feed.join().await?;
    }
    let report = report.inspect_err(|_| say(&format!("ended in {took:.1?}")))?;
    let members = report.members.len();
    let restarts = report.members.iter().map(|member| member.starts.saturating_sub(1)).sum::<u64>();
    let failed = report.members.iter().find(|member| has_failed(member));
    let end = match failed {
        Some(_) => "ended",
        None if report.stopped => "ended early",
        None => "done",
    };
    say(&format!("{end} in {took:.1?}: {members} processes, {restarts} restarts"));
    // Another host may have the writer: then the file does not exist here.
    if let Some(path) = args.options.signals.filter(|path| end == "done" && path.exists()) {
        say(&format!("signals    written to {}", path.display()));
    }
    if let Some(observed) = observed {
        observed.end();
    }
    match failed {
        Some(MemberStatus { name, last_exit: Some(status), .. }) => {
            Err(Error::msg(format!("{name} failed and was not restarted: {status}")))
        }
        _ => Ok(()),
    }
}

/// Runs nodes, each with the nodes that it reads from, as processes of this program with this
/// standard output, and says what happens to them. Returns when all have ended.
pub(crate) async fn run(
    args: &RunArgs,
    nodes: Vec<(String, Vec<String>)>,
    environment: &[(&'static str, String)],
    say: fn(&str),
    stdout: fn() -> Stdio,
    executor: &Arc<dyn Executor>,
) -> Result<BundleReport> {
    let program = env::current_exe()?;
    // Restarts are logged.
    let mut bundle = Bundle::new().observe(move |event| match event {
        BundleEvent::Restarting { .. } => {}
        event => say(&event.to_string()),
    });
    for (node, sources) in &nodes {
        let (arguments, environment) = (args.of_member(node), environment.to_vec());
        let program = program.clone();
        let member = Member::new(node, move || {
            let mut command = Command::new(&program);
            command.args(&arguments).envs(environment.clone()).stdout(stdout());
            command
        });
        let member = member.restart(RESTART);
        bundle =
            bundle.member(sources.iter().fold(member, |member, source| member.ends_after(source)));
    }
    // `run` blocks until the processes of the bundle have ended.
    let (done, report) = oneshot::channel();
    executor.blocking(Box::new(|| drop(done.send(bundle.run()))))?;
    Ok(report.await??)
}

/// Whether a member failed. One that was never started did not, and neither did one that got the
/// signal to end before it could handle it.
fn has_failed(member: &MemberStatus) -> bool {
    let died = |status: ExitStatus| !status.success() && status.signal() != Some(SIGTERM);
    member.phase != MemberPhase::Completed && member.last_exit.is_some_and(died)
}

/// Removes, when dropped, the directories of a bundle, which no other bundle uses. The next
/// launcher removes the directories of a launcher that was killed.
pub(crate) struct Directories {
    /// The directory of the sockets, which the processes create.
    pub(crate) sockets: PathBuf,
    /// The directory of the saved states.
    pub(crate) state: PathBuf,
    /// Locks `state` while the launcher lives.
    _lock: File,
}

impl Directories {
    pub(crate) fn new() -> io::Result<Self> {
        // Removes the directories of launchers that were killed: nobody has locked them.
        for (name, state) in private_directories()? {
            if name.starts_with("bandit-")
                && name.ends_with(".state")
                && let Ok(Some(_lock)) = lock(&state)
            {
                let _ = fs::remove_dir_all(state.with_extension(""));
                let _ = fs::remove_dir_all(&state);
            }
        }
        // Another launcher may have this number in another container, or remove the directory
        // before it is locked, as that of a killed launcher. Then tries another name.
        let mut attempt = 0;
        loop {
            let name = format!("bandit-{}-{attempt}", process::id());
            let sockets = mycelium::untyped::private_directory(&name);
            let state = sockets.with_added_extension("state");
            let lock = fs::DirBuilder::new().mode(0o700).create(&state).and_then(|()| lock(&state));
            match lock {
                Ok(Some(_lock)) => return Ok(Self { sockets, state, _lock }),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let text = format!("cannot create {}: {error}", state.display());
                    return Err(io::Error::new(error.kind(), text));
                }
            }
            attempt += 1;
        }
    }
}

/// Locks a directory; `None` if it is locked, or is not there.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let file = match File::open(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
        // The directory may have been removed before it was locked.
        Ok(()) => Ok(directory.exists().then_some(file)),
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.sockets);
        let _ = fs::remove_dir_all(&self.state);
    }
}

/// Runs one node of the bundle. Its last line has the figures of the node.
pub(crate) async fn member(
    member: app::Member,
    options: Options,
    executor: Arc<dyn Executor>,
) -> Result<ExitCode> {
    end_with_launcher(GRACE)?;
    let node = member.node.clone();
    let options = Options { member: Some(member), ..options };
    let failed = |error: String, code| {
        let _ = writeln!(io::stderr(), "error: {node}: {error}");
        Ok(ExitCode::from(code))
    };
    let run = match Run::prepare(&options, &executor).await {
        Ok(run) => run,
        Err(failure) => return failed(failure.to_string(), Bundle::NO_RESTART),
    };
    match run.finish(executor).await {
        Ok(report) => {
            let summary = app::summary(&report);
            let counts: Vec<_> = summary.lines().map(str::trim).collect();
            say(&format!("{node}: {}", counts.join(", ")));
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ StartError::Undelivered { .. }) => {
            failed(error.to_string(), Bundle::UNDELIVERED)
        }
        // A restart would not help: the error of the service is permanent, or the address of a node
        // is in use or does not belong to this machine.
        Err(error @ (StartError::ServiceFailed { restarts: 0, .. } | StartError::Bind { .. })) => {
            failed(user_error(error).to_string(), Bundle::NO_RESTART)
        }
        Err(error) if error.is_permanent() || error.code() == Code::NO_METRICS => {
            failed(user_error(error).to_string(), Bundle::NO_RESTART)
        }
        Err(error) => Err(Error::msg(format!("{node}: {}", user_error(error)))),
    }
}

impl RunArgs {
    /// The arguments of one node of the bundle.
    fn of_member(&self, node: &str) -> Vec<std::ffi::OsString> {
        let executor = self.executor.to_possible_value().expect("it can be given");
        let mut arguments: Vec<_> =
            ["member", node, "--executor", executor.get_name()].map(Into::into).into();
        let member = self.options.member.clone().unwrap_or_default();
        let files = [
            ("--directory", &Some(member.directory)),
            ("--state", &member.state),
            ("--receipts", &member.receipts),
            ("--ca", &self.options.ca),
            ("--signals", &self.options.signals),
            ("--topology", &self.options.topology),
        ];
        for (name, path) in files {
            if let Some(path) = path {
                arguments.extend([name.into(), path.into()]);
            }
        }
        if let Some(refresh) = self.options.refresh {
            let refresh = humantime::format_duration(refresh).to_string();
            arguments.extend(["--refresh".into(), refresh.into()]);
        }
        let numbers = [
            ("--gas-price", self.options.gas_price.map(u64::from)),
            ("--faults", self.options.faults),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                arguments.extend([name.into(), number.to_string().into()]);
            }
        }
        if self.options.pairs {
            arguments.push("--pairs".into());
        }
        arguments
    }
}
