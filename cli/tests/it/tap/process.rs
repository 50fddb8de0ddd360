//! Processes for the tests: nodes, and the tool.

use std::fs;
use std::io::{PipeReader, PipeWriter, Write};
use std::ops::Add;
use std::path::PathBuf;
use std::process::Stdio;

use crate::common::{Ended, Process, json};
use crate::roles::playing;
use crate::world::World;

impl World {
    /// Returns the directory of the sockets.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.runtime().join("mycelium-app")
    }

    /// Starts the process of a node.
    pub(crate) fn node(&self, name: &str) -> Process {
        let mut command = playing("source", name, self.file().to_str().unwrap());
        command.env("XDG_RUNTIME_DIR", self.runtime()).stdin(Stdio::piped());
        let mut node = Process::run(&mut command);
        node.until("node runs");
        node
    }

    /// Starts the tool.
    pub(crate) fn tapping(&self, args: &[&str]) -> Process {
        self.start(&[&["tap"], args].concat())
    }

    /// Starts the tool with its errors in this pipe, and waits until it reads.
    pub(crate) fn tapping_to(&self, args: &[&str], errors: PipeWriter) -> Process {
        let mut tap = Process::run(self.tool(&[&["tap"], args].concat()).stderr(errors));
        tap.until("begins at #");
        tap
    }

    /// Runs the tool to its end.
    pub(crate) fn tapped(&self, args: &[&str]) -> Ended {
        self.run(&[&["tap"], args].concat())
    }
}

/// Returns a directory with this file, and its running node `feed`.
pub(crate) fn feed(text: &str) -> (World, Process) {
    let world = World::new();
    world.write(text);
    let node = world.node("feed");
    (world, node)
}

/// The file of a node that reads its own topic.
pub(crate) const ONE_NODE: &str =
    "[node.feed]\nservices = [\"Source\", \"Store\"]\nobservers = true\n";

/// What the process of a node does on request.
impl Process {
    /// Sends a command.
    pub(crate) fn send(&mut self, command: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    /// Emits this many messages, and waits for the answer.
    pub(crate) fn emit(&mut self, count: u64) {
        self.send(&format!("emit {count}"));
        self.until("emitted ");
    }

    /// Returns how many times emits have waited.
    pub(crate) fn waited(&self) -> u64 {
        let rows = json(&["counters", "--all", "--pid", &self.pid().to_string()]);
        let waited = rows.iter().filter(|row| row["counter"] == "waited");
        waited.map(|row| row["value"].as_u64().unwrap()).reduce(u64::add).expect("a publisher")
    }

    /// Closes its input, which ends the node in order.
    pub(crate) fn end(mut self) {
        assert!(self.child.wait().unwrap().success());
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
