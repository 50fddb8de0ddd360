//! Processes for the tests: the tool, and the nodes of `examples/ticks`.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Returns the tool with these arguments, in an environment where it colours a terminal.
pub(crate) fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mycelium"));
    command.args(arguments).env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// What the tool prints, and how it ends.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Ended {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Returns the output of a successful run.
    #[track_caller]
    pub(crate) fn expect_success(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Returns the error of a run, which must have this exit code and no output.
    #[track_caller]
    pub(crate) fn expect_failure(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        self.err
    }

    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self
    }
}

/// Runs the tool to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Ended::of(&tool(arguments).output().expect("the tool runs"))
}

/// Returns the tool's output, parsed as JSON.
#[track_caller]
pub(crate) fn json(arguments: &[&str]) -> Vec<Value> {
    let out = run(&[arguments, &["-o", "json"]].concat()).expect_success();
    let last = out.lines().last().expect("a line");
    serde_json::from_str(last).expect("an array in JSON")
}

/// Returns the program of the nodes. Cargo builds it with all tests of the package, but not with
/// one alone.
pub(crate) fn ticks() -> PathBuf {
    let tool = Path::new(env!("CARGO_BIN_EXE_mycelium"));
    let program = tool.parent().expect("a directory").join("examples/ticks");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ticks/main.rs");
    let built = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    assert!(
        built(&program) >= built(Path::new(source)),
        "the example is not built: run `cargo build -p mycelium-bus-cli --examples`"
    );
    program
}

/// Says why a test does not run on this machine. In the job `systemd` no test may be
/// skipped.
#[expect(clippy::print_stderr, reason = "a test that is skipped must say so")]
pub(crate) fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("MYCELIUM_TEST_SYSTEMD").is_none(), "{why}");
    eprintln!("skipped {test}: {why}");
}

/// A process that is killed on drop.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// Its output; `None` once it is closed.
    pub(crate) lines: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Runs a node of `examples/ticks`.
    pub(crate) fn node(arguments: &[&str]) -> Process {
        let mut command = Command::new(ticks());
        Process::run(command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()))
    }

    /// Runs an ignored test of this program, with a variable.
    pub(crate) fn test(name: &str, (key, value): (&str, &str)) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args([name, "--exact", "--ignored", "--nocapture"]).env(key, value);
        Process::run(command.stdin(Stdio::null()).stderr(Stdio::null()))
    }

    pub(crate) fn run(command: &mut Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it is built");
        let lines = child.stdout.take().map(BufReader::new);
        Process { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the next line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        let lines = self.lines.as_mut().expect("its output is open");
        let read = lines.read_line(&mut line).expect("UTF-8");
        assert!(read > 0, "the process has ended: {}", self.errors());
        line.trim_end().to_owned()
    }

    /// Reads lines up to one that contains this text.
    pub(crate) fn until(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Returns everything that it writes to standard error until its end, if that is a pipe.
    pub(crate) fn errors(&mut self) -> String {
        let mut errors = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut errors).expect("UTF-8");
        }
        errors
    }

    /// Waits for its end. Returns the rest of its output, and its errors.
    pub(crate) fn ended(mut self) -> Ended {
        // Reads both at once, because a process waits while a pipe is full.
        let lines = self.lines.take();
        let out = thread::spawn(|| lines.map_or(Ok(String::new()), io::read_to_string));
        let err = self.errors();
        let out = out.join().expect("no panic").expect("UTF-8");
        Ended { code: self.child.wait().expect("its end").code(), out, err }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process, which may have just ended.
pub(crate) fn kill(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).expect("a process"), signal);
}
