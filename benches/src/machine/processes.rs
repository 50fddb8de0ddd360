//! Other processes of a run: the program starts itself again, with a job in its environment.
//!
//! A job is a line of words. Both sides send further lines to each other over the job's standard
//! input and output. A descriptor is passed by its number: the other side opens it by its path in
//! `/proc`. A job ends when its standard input does.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::parent_id;
use std::process::{Child, Command, Stdio};

use super::affinity::Cores;

/// The environment variable with the job.
const JOB: &str = "MYCELIUM_BENCHES_JOB";

/// The connection with the other side of a job: lines in both directions.
pub(crate) struct Talk {
    process: u32,
    input: Box<dyn Write>,
    output: Box<dyn BufRead>,
}

impl Talk {
    /// Returns the talk with the process that started this one.
    pub(crate) fn parent() -> Talk {
        let (input, output) = (Box::new(io::stdout()), Box::new(BufReader::new(io::stdin())));
        Talk { process: parent_id(), input, output }
    }

    /// Sends a line.
    pub(crate) fn say(&mut self, line: impl Display) {
        // If the other side has ended, it sends no more lines either, so the caller notices.
        let _ = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
    }

    /// Waits for a line. Returns `None` at the end.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.output.read_line(&mut line).expect("a pipe can be read");
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// Waits for a line of numbers.
    ///
    /// # Panics
    /// If the other side has ended.
    pub(crate) fn numbers<const N: usize>(&mut self) -> [usize; N] {
        let line = self.hear().expect("the other process runs");
        let mut words = line.split(' ').map(|word| word.parse().expect("a number"));
        std::array::from_fn(|_| words.next().expect("one more number"))
    }

    /// Opens a descriptor of the other process again.
    pub(crate) fn open(&self, descriptor: usize, writable: bool) -> File {
        let path = format!("/proc/{}/fd/{descriptor}", self.process);
        let file = OpenOptions::new().read(true).write(writable).open(path);
        file.expect("the other process has this descriptor")
    }
}

/// Returns the number of a descriptor, to be sent.
pub(crate) fn number(descriptor: impl AsFd) -> i32 {
    descriptor.as_fd().as_raw_fd()
}

/// Kills its process when dropped.
pub(crate) struct Worker(Child);

impl Worker {
    /// Starts a job with these as its standard input and output.
    pub(crate) fn start(cores: &Cores, job: &str, input: Stdio, output: Stdio) -> Worker {
        let child = Command::new(std::env::current_exe().expect("the program has a path"))
            .env(JOB, format!("{} {job}", cores.names()))
            .stdin(input)
            .stdout(output)
            .spawn();
        Worker(child.expect("the process may start another one"))
    }

    /// Starts a job, and opens the talk with it.
    pub(crate) fn talking(cores: &Cores, job: &str) -> (Worker, Talk) {
        let mut worker = Worker::start(cores, job, Stdio::piped(), Stdio::piped());
        let input = Box::new(worker.0.stdin.take().expect("a pipe"));
        let output = Box::new(BufReader::new(worker.0.stdout.take().expect("a pipe")));
        let talk = Talk { process: worker.0.id(), input, output };
        (worker, talk)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Ignores an error: the process has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the cores and the words of this process's job, if it was started for one.
pub(crate) fn job() -> Option<(Cores, String)> {
    let job = std::env::var(JOB).ok()?;
    let (cores, words) = job.split_once(' ').unwrap_or((&job, ""));
    Some((Cores::named(cores), words.to_owned()))
}
