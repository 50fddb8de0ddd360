//! The runtime directory, topology file and tool of a test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Deserialize;
use tempfile::TempDir;

use crate::common::{Ended, Process, kill, tool};
use crate::roles::ENTER;

/// Longer than any step takes, and shorter than the time limit of the tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The directory of one test.
pub(crate) struct World {
    directory: TempDir,
}

/// A node as `status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Shown {
    node: String,
    pub(crate) state: String,
    pub(crate) pid: Option<u32>,
    pub(crate) restarts: u64,
}

impl World {
    pub(crate) fn new() -> World {
        let world = World { directory: tempfile::tempdir().unwrap() };
        fs::DirBuilder::new().mode(0o700).create(world.runtime()).unwrap();
        world
    }

    /// Returns a world whose file has these nodes, each with its role.
    pub(crate) fn of(nodes: &[(&str, &str)]) -> World {
        let world = World::new();
        world.nodes(nodes, "");
        world
    }

    /// Returns a world with these nodes, and their status once they run and wait.
    #[track_caller]
    pub(crate) fn waiting(nodes: &[(&str, &str)]) -> (World, BTreeMap<String, Shown>) {
        let world = World::of(nodes);
        world.up();
        let names: Vec<_> = nodes.iter().map(|(node, _)| *node).collect();
        let status = world.until_they_wait(&names);
        (world, status)
    }

    pub(crate) fn runtime(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("app.toml")
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    /// Writes a file with these nodes, each with its role, and more text.
    pub(crate) fn nodes(&self, nodes: &[(&str, &str)], more: &str) {
        let sections: String = nodes
            .iter()
            .map(|(node, role)| format!("[node.{node}]\ncommand = {}\n", self.command(&[role])))
            .collect();
        self.write(&format!("{sections}{more}"));
    }

    /// Returns the section of a node with the role `node` and a service; its command has more
    /// words.
    pub(crate) fn section(&self, node: &str, service: &str, words: &[&str]) -> String {
        let command = self.command(&[&["node"], words].concat());
        format!("[node.{node}]\ncommand = {command}\nservices = [\"{service}\"]\n")
    }

    /// Writes a file with a feed and a store, whose commands have these words.
    pub(crate) fn pipeline(&self, feed: &[&str], store: &[&str]) {
        let feed = self.section("feed", "Feed", feed);
        self.write(&(feed + &self.section("store", "Store", store)));
    }

    /// Returns the command of a role with more words, in the syntax of the file.
    pub(crate) fn command(&self, role: &[&str]) -> String {
        let program = std::env::current_exe().unwrap();
        let program = program.to_str().unwrap();
        let of_role = [&format!("role={}", role[0]), "node={node}", "file={topology}"];
        format!("{:?}", [&[program], &ENTER[..], &of_role, &role[1..]].concat())
    }

    /// Returns the tool in this directory, without the variables of a service manager.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = tool(arguments);
        command.current_dir(&self.directory).env("XDG_RUNTIME_DIR", self.runtime());
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.tool(arguments).output().unwrap())
    }

    /// Starts the tool, with pipes for its output and errors.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::run(self.tool(arguments).stderr(Stdio::piped()))
    }

    /// Returns the tool with a limit of the shell's `ulimit`.
    pub(crate) fn limited(&self, limit: &str, arguments: &[&str]) -> Command {
        let (tool, mut shell) = (self.tool(arguments), Command::new("sh"));
        shell.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"]);
        shell.arg(tool.get_program()).args(tool.get_args()).stdin(Stdio::null());
        shell.envs(tool.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.current_dir(&self.directory);
        shell
    }

    /// Makes a named pipe at which a process waits until the test opens it.
    pub(crate) fn gate(&self, name: &str) -> PathBuf {
        let gate = self.file().with_file_name(name);
        assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
        gate
    }

    /// Runs `up`, which must get all nodes ready.
    #[track_caller]
    pub(crate) fn up_and_ready(&self) -> String {
        let ended = self.run(&["up", "app.toml"]);
        let Ended { code, out, err } = ended;
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}\n{}", self.logs());
        out
    }

    /// Runs `up --no-wait`, which must succeed, and returns what it prints about changes.
    #[track_caller]
    pub(crate) fn up(&self) -> Vec<String> {
        let out = self.run(&["up", "app.toml", "--no-wait"]).expect_success();
        let changes = out.lines().take_while(|line| !line.starts_with("NODE"));
        changes.map(str::to_owned).collect()
    }

    /// Returns the status of the nodes by name; empty if nothing runs.
    pub(crate) fn status(&self) -> BTreeMap<String, Shown> {
        let ended = self.run(&["status", "app.toml", "-o", "json"]);
        let nodes: Vec<Shown> = match ended.out.as_str() {
            "" => Vec::new(),
            rows => serde_json::from_str(rows).expect("a row for each node"),
        };
        nodes.into_iter().map(|shown| (shown.node.clone(), shown)).collect()
    }

    /// Waits until the status of the nodes is as expected.
    #[track_caller]
    pub(crate) fn until(
        &self,
        is_so: impl Fn(&BTreeMap<String, Shown>) -> bool,
    ) -> BTreeMap<String, Shown> {
        let begin = now();
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "{status:?}\n{}", self.logs());
            std::thread::yield_now();
        }
    }

    /// Waits until this node runs.
    #[track_caller]
    pub(crate) fn until_running(&self, node: &str) -> BTreeMap<String, Shown> {
        self.until(|nodes| nodes.get(node).is_some_and(|shown| shown.state == "running"))
    }

    /// Waits until these nodes have logged that they wait, so they handle signals, and the launcher
    /// knows them.
    #[track_caller]
    pub(crate) fn until_they_wait(&self, nodes: &[&str]) -> BTreeMap<String, Shown> {
        let read =
            |file: &str| fs::read_to_string(self.bundle().unwrap().join(file)).unwrap_or_default();
        let waits = |node: &str, shown: &Shown| {
            let (log, noted) = (read(&format!("{node}.log")), read("processes"));
            shown.state == "running"
                && log.lines().any(|line| matches!(line, "waits" | "hangs"))
                && noted.lines().any(|line| line.starts_with(&format!("{} ", shown.pid.unwrap())))
        };
        self.until(|status| {
            let waits = |node: &&str| status.get(*node).is_some_and(|shown| waits(node, shown));
            status.len() == nodes.len() && nodes.iter().all(waits)
        })
    }

    /// Returns the directory of the bundle, if there is one.
    pub(crate) fn bundle(&self) -> Option<PathBuf> {
        let mut entries = fs::read_dir(self.runtime()).unwrap().flatten();
        let is_bundle = |name: OsString| name.to_string_lossy().contains("-up-");
        Some(entries.find(|entry| is_bundle(entry.file_name()))?.path())
    }

    pub(crate) fn logs(&self) -> String {
        let Some(bundle) = self.bundle() else { return String::new() };
        let files = fs::read_dir(bundle).unwrap().flatten().map(|entry| entry.path());
        let logs = files.filter(|path| path.extension().is_some_and(|it| it == "log"));
        logs.map(|path| format!("{}:\n{}\n", path.display(), fs::read_to_string(&path).unwrap()))
            .collect()
    }

    /// Returns the process id of the launcher.
    pub(crate) fn launcher(&self) -> u32 {
        let bundle = self.bundle().unwrap();
        let mine = processes().into_iter().find(|(_, line)| {
            line.contains("\0launcher\0") && line.contains(bundle.to_str().unwrap())
        });
        mine.expect("a launcher").0
    }

    /// Returns the processes of this test with their command lines.
    fn left(&self) -> Vec<(u32, String)> {
        let directory = self.directory.path().to_str().unwrap();
        processes().into_iter().filter(|(_, line)| line.contains(directory)).collect()
    }

    /// Waits until no process of this test runs.
    #[track_caller]
    pub(crate) fn until_nothing_runs(&self) {
        let begin = now();
        while !self.left().is_empty() {
            assert!(begin.elapsed() < PATIENCE, "{:?}", self.left());
            std::thread::yield_now();
        }
    }

    /// Ends the bundle, and checks that nothing of it is left.
    #[track_caller]
    pub(crate) fn down(&self) {
        self.run(&["down", "app.toml"]).expect_success();
        self.nothing_is_left();
    }

    #[track_caller]
    pub(crate) fn nothing_is_left(&self) {
        // The launcher has answered, but may not have exited yet.
        self.until_nothing_runs();
        assert_eq!(self.bundle(), None);
    }
}

/// Ends what a test has left.
impl Drop for World {
    fn drop(&mut self) {
        let down = AssertUnwindSafe(|| self.down());
        let is_down = std::thread::panicking() || catch_unwind(down).is_ok();
        // Processes remain only after a failed test.
        for (pid, _) in self.left() {
            kill(pid, Signal::KILL);
        }
        assert!(is_down, "a bundle that cannot be ended");
    }
}

/// Returns the processes of this machine that have not ended, with their command lines.
fn processes() -> Vec<(u32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let lines = pids.filter_map(|pid: u32| {
        let line = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
        // A process that has ended has an empty command line.
        (!line.is_empty()).then(|| (pid, String::from_utf8_lossy(&line).into_owned()))
    });
    lines.collect()
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for processes needs an end")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
