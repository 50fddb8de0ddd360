//! Other processes of a run: the program starts itself again, with a job in its environment.
//!
//! A job is a line of words. Both sides say further lines to each other over the job's standard
//! input and output. A descriptor is passed by its number: the other side opens it by its path in
//! `/proc`. A job ends with its standard input.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use crate::affinity::Cores;

/// The variable with the job.
const JOB: &str = "MYCELIUM_BENCHES_JOB";
/// The program of other processes, if it is not that of this one, which is a test.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Sets the program of other processes.
pub(crate) fn set_program(program: &Path) {
    // It is the same in every run of a process.
    let _ = PROGRAM.set(program.to_owned());
}

/// The other side of a job.
pub(crate) trait Talk {
    /// Says a line.
    fn say(&mut self, line: &dyn Display);

    /// Waits for a line; `None` at the end.
    fn hear(&mut self) -> Option<String>;

    /// The number of the other process.
    fn process(&self) -> u32;

    /// Waits for a line of numbers.
    ///
    /// # Panics
    /// If the other side has ended.
    fn numbers<const N: usize>(&mut self) -> [usize; N] {
        let line = self.hear().expect("the other process runs");
        let mut words = line.split_whitespace().map(|word| word.parse().expect("a number"));
        std::array::from_fn(|_| words.next().expect("one more number"))
    }

    /// Opens a descriptor of the other process again.
    fn open(&self, descriptor: usize, writable: bool) -> File {
        let path = format!("/proc/{}/fd/{descriptor}", self.process());
        let file = OpenOptions::new().read(true).write(writable).open(path);
        file.expect("the other process has this descriptor")
    }
}

/// Says the number of a descriptor.
pub(crate) fn number(descriptor: impl AsFd) -> i32 {
    descriptor.as_fd().as_raw_fd()
}

/// A job in another process, which is killed when this is dropped.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a job on the reader's core.
    pub(crate) fn start(cores: &Cores, job: &str) -> Worker {
        let mut child = command(cores, job)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process may start another one");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Worker { child, input, output }
    }
}

/// The program with a job.
pub(crate) fn command(cores: &Cores, job: &str) -> Command {
    let itself = || std::env::current_exe().expect("the program has a path");
    let program = PROGRAM.get().cloned().unwrap_or_else(itself);
    let mut command = Command::new(program);
    command.env(JOB, format!("{} {job}", cores.names()));
    command
}

impl Talk for Worker {
    fn say(&mut self, line: &dyn Display) {
        writeln!(self.input, "{line}").expect("the other process runs");
    }

    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.output.read_line(&mut line).expect("a pipe can be read");
        (count > 0).then_some(line)
    }

    fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It fails if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The side that started this process.
pub(crate) struct Parent;

impl Talk for Parent {
    fn say(&mut self, line: &dyn Display) {
        let mut output = io::stdout().lock();
        // If the other side has ended, so does the next line that arrives.
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }

    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = io::stdin().lock().read_line(&mut line).unwrap_or(0);
        (count > 0).then_some(line)
    }

    fn process(&self) -> u32 {
        std::os::unix::process::parent_id()
    }
}

/// The names of the cores and the words of the job of this process, if it was started for one.
pub(crate) fn job() -> Option<(Cores, String)> {
    let job = std::env::var(JOB).ok()?;
    let (cores, words) = job.split_once(' ').unwrap_or((&job, ""));
    Some((Cores::named(cores), words.to_owned()))
}
