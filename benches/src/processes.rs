//! Other processes of a run: the program starts itself again, with a job in its environment.
//!
//! A job is a line of words. Both sides say further lines to each other over the job's standard
//! input and output. A job ends with its standard input.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::affinity::Cores;

/// The variable with the job.
const JOB: &str = "MYCELIUM_BENCHES_JOB";

/// A job in another process, which is killed when this is dropped.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a job on the reader's core.
    pub(crate) fn start(cores: &Cores, job: &str) -> Worker {
        let mut child = Command::new(std::env::current_exe().expect("the program has a path"))
            .env(JOB, format!("{} {job}", cores.names()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process may start another one");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Worker { child, input, output }
    }

    /// Says a line.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the other process runs");
    }

    /// Waits for a line; false at the end.
    pub(crate) fn answers(&mut self) -> bool {
        self.output.read_line(&mut String::new()).expect("a pipe can be read") > 0
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It fails if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The cores and the words of the job of this process, if it was started for one.
pub(crate) fn job() -> Option<(Cores, String)> {
    let job = std::env::var(JOB).ok()?;
    let (cores, words) = job.split_once(' ').unwrap_or((&job, ""));
    Some((Cores::named(cores), words.to_owned()))
}

/// Says a line to the side that started this process.
pub(crate) fn answer() {
    let mut output = io::stdout().lock();
    // If the other side has ended, so does the next line that arrives.
    let _ = writeln!(output).and_then(|()| output.flush());
}
