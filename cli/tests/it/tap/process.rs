//! Processes for the tests: nodes, and the tool.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use super::node::{NODE, TOPOLOGY};
use crate::common::{Ended, Process, tool};

/// A directory of a test, removed on drop.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the directory of the sockets.
    pub(crate) fn run(&self) -> PathBuf {
        self.path().join("mycelium-app")
    }

    /// Returns the path of the topology file.
    pub(crate) fn topology(&self) -> String {
        format!("{}/app.toml", self.path().display())
    }

    /// Writes the topology file.
    pub(crate) fn write(&self, text: &str) {
        fs::write(self.topology(), text).unwrap();
    }

    /// Starts the process of a node.
    pub(crate) fn node(&self, name: &str) -> NodeProcess {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tap::node_process", "--nocapture", "--test-threads=1"]);
        command.env(NODE, name).env(TOPOLOGY, self.topology());
        command.env("XDG_RUNTIME_DIR", self.path()).stdin(Stdio::piped());
        let mut process = Process::run(&mut command);
        let mut node = NodeProcess { input: process.child.stdin.take(), process };
        node.until("node runs");
        node
    }

    /// Returns the tool with these arguments.
    pub(crate) fn tap(&self, args: &[&str]) -> Command {
        let mut command = tool(&[&["tap"], args].concat());
        command.env("XDG_RUNTIME_DIR", self.path()).stderr(Stdio::piped());
        command
    }

    /// Starts the tool.
    pub(crate) fn tapping(&self, args: &[&str]) -> Process {
        Process::run(&mut self.tap(args))
    }

    /// Starts the tool with its errors in this pipe, and waits until it reads.
    pub(crate) fn tapping_to(&self, args: &[&str], errors: PipeWriter) -> Process {
        let mut tap = Process::run(self.tap(args).stderr(errors));
        tap.until("begins at #");
        tap
    }

    /// Runs the tool to its end.
    pub(crate) fn tapped(&self, args: &[&str]) -> Ended {
        Ended::of(&self.tap(args).output().unwrap())
    }
}

/// Returns a directory with this file, and its running node `feed`.
pub(crate) fn feed(text: &str) -> (Place, NodeProcess) {
    let place = Place::new();
    place.write(text);
    let node = place.node("feed");
    (place, node)
}

/// The file of a node that reads its own topic.
pub(crate) const ONE_NODE: &str =
    "[node.feed]\nservices = [\"Source\", \"Store\"]\nobservers = true\n";

/// The process of a node, killed on drop.
pub(crate) struct NodeProcess {
    process: Process,
    input: Option<ChildStdin>,
}

impl NodeProcess {
    /// Sends a command.
    pub(crate) fn send(&mut self, command: &str) {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
    }

    /// Reads lines up to one with this text, and returns the line from the text on.
    pub(crate) fn until(&mut self, start: &str) -> String {
        loop {
            let line = self.process.line();
            // The test harness writes to the same line.
            if let Some(at) = line.find(start) {
                return line[at..].to_owned();
            }
        }
    }

    /// Emits this many messages, and waits for the answer.
    pub(crate) fn emit(&mut self, count: u64) {
        self.send(&format!("emit {count}"));
        self.until("emitted ");
    }

    /// Returns how many times emits have waited.
    pub(crate) fn waited(&mut self) -> u64 {
        self.send("counters");
        let line = self.until("waited ");
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Ends the node in order.
    pub(crate) fn end(mut self) {
        self.input = None;
        assert!(self.process.child.wait().unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

impl Process {
    /// Reads lines up to one that contains this text.
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for its end. Returns its status, the rest of its output, and its errors.
    pub(crate) fn ended(mut self) -> (ExitStatus, String, String) {
        let mut rest = String::new();
        if let Some(lines) = &mut self.lines {
            lines.read_to_string(&mut rest).unwrap();
        }
        let (status, errors) = self.ended_unread();
        (status, rest, errors)
    }

    /// Waits for its end without reading its output. Returns its status and errors.
    pub(crate) fn ended_unread(mut self) -> (ExitStatus, String) {
        let errors = self.errors();
        (self.child.wait().unwrap(), errors)
    }
}

/// Returns a pipe without room.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    for size in [1 << 12, 1] {
        while writer.write(&vec![b'-'; size]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// Waits until a process has begun to handle all of its signals.
pub(crate) fn has_handled_signals(process: u32) {
    let pending = || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap().trim();
        u64::from_str_radix(line, 16).unwrap()
    };
    while pending() != 0 {
        std::thread::yield_now();
    }
}
