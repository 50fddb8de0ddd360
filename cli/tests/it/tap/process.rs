//! Processes of a test: nodes, and the tool.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::node::{NODE, TOPOLOGY};

/// A directory of a test, removed at its end.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a socket has at most 107 bytes.
        let path = std::env::temp_dir().join(format!("my-tap-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where sockets lie.
    pub(crate) fn run(&self) -> PathBuf {
        self.0.join("mycelium-app")
    }

    pub(crate) fn topology(&self) -> PathBuf {
        self.0.join("app.toml")
    }

    /// Writes the topology file.
    pub(crate) fn write(&self, text: &str) {
        fs::write(self.topology(), text).unwrap();
    }

    /// A process of a node.
    pub(crate) fn node(&self, name: &str) -> NodeProcess {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tap::node_process", "--nocapture", "--test-threads=1"]);
        command.env(NODE, name).env(TOPOLOGY, self.topology()).env("XDG_RUNTIME_DIR", &self.0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut node = NodeProcess { child, input, output };
        node.until("node runs");
        node
    }

    /// The tool with these arguments.
    pub(crate) fn tap(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mycelium"));
        command.arg("tap").args(args).env("XDG_RUNTIME_DIR", &self.0).env_remove("NO_COLOR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The tool, running.
    pub(crate) fn tapping(&self, args: &[&str]) -> Tapping {
        let mut child = self.tap(args).spawn().unwrap();
        let output = child.stdout.take().map(BufReader::new);
        Tapping { child, output }
    }

    /// The tool, running, with its errors there.
    pub(crate) fn tapping_to(&self, args: &[&str], errors: PipeWriter) -> Tapping {
        let mut child = self.tap(args).stderr(errors).spawn().unwrap();
        let output = child.stdout.take().map(BufReader::new);
        Tapping { child, output }
    }

    /// The exit code, the output and the errors of the tool.
    pub(crate) fn tapped(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.tap(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A node. It is killed when it is dropped.
pub(crate) struct NodeProcess {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl NodeProcess {
    /// Sends a command.
    pub(crate) fn send(&mut self, command: &str) {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
    }

    /// Reads lines up to one that begins so.
    pub(crate) fn until(&mut self, start: &str) -> String {
        until(&mut self.output, start)
    }

    /// Emits this many messages, and waits for that.
    pub(crate) fn emit(&mut self, count: u64) {
        self.send(&format!("emit {count}"));
        self.until("emitted ");
    }

    /// How often emits have waited.
    pub(crate) fn waited(&mut self) -> u64 {
        self.send("counters");
        let line = self.until("waited ");
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Ends it in order.
    pub(crate) fn end(mut self) {
        self.input = None;
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The tool, running. It is killed when it is dropped.
pub(crate) struct Tapping {
    pub(crate) child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Tapping {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads lines up to one that has this text.
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.output.as_mut().unwrap().read_line(&mut line).unwrap();
        if read == 0 {
            panic!("the tool has ended: {}", errors_of(&mut self.child));
        }
        line
    }

    /// Closes its output. Its end is awaited by `ended`.
    pub(crate) fn close_output(&mut self) {
        self.output = None;
    }

    /// Waits for its end: status, the rest of its output, and its errors.
    pub(crate) fn ended(mut self) -> (ExitStatus, String, String) {
        let mut rest = String::new();
        if let Some(output) = &mut self.output {
            output.read_to_string(&mut rest).unwrap();
        }
        let errors = errors_of(&mut self.child);
        (self.child.wait().unwrap(), rest, errors)
    }

    /// Waits for its end without reading anything.
    pub(crate) fn status(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits for its end without reading its output: status and errors.
    pub(crate) fn ended_unread(mut self) -> (ExitStatus, String) {
        let errors = errors_of(&mut self.child);
        (self.child.wait().unwrap(), errors)
    }
}

/// All that a process writes to standard error until its end.
fn errors_of(child: &mut Child) -> String {
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    errors
}

impl Drop for Tapping {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe without room.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    for size in [1 << 12, 1] {
        while writer.write(&vec![b'-'; size]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// Waits until a process has no signal that it has not begun to handle.
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

pub(crate) fn signal_to(process: u32, signal: rustix::process::Signal) {
    let process = rustix::process::Pid::from_raw(process as i32).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

fn until(output: &mut impl BufRead, start: &str) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "no line `{start}`");
        // The harness of the test writes into the same line.
        if let Some(at) = line.find(start) {
            return line[at..].trim_end().to_owned();
        }
    }
}
