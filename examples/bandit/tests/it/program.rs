//! The program as users run it: its lines while it runs, and the signals of an undisturbed run.

use std::{
    fs,
    io::{BufRead, BufReader, pipe},
    path::Path,
    process::{Child, Command},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

/// The attempts of a condition, with a pause after each.
const ATTEMPTS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// The program, with these arguments.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bandit"));
    command.args(arguments);
    command
}

/// Runs a program to its end. Returns whether it succeeded, and its whole output.
pub(crate) fn ran(command: Command) -> (bool, String) {
    Program::start(command).end()
}

/// Kills its program when dropped. The processes that the program has started end then, too.
pub(crate) struct Program {
    pub(crate) child: Child,
    /// The lines of the output, through a channel, so that waiting for a line has a timeout.
    lines: Receiver<String>,
    pub(crate) output: String,
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        let (reader, writer) = pipe().unwrap();
        let child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            let (mut reader, mut line) = (BufReader::new(reader), String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, output: String::new() }
    }

    /// Returns the next line, unless it takes longer than `longest`, and adds it to the output.
    pub(crate) fn next(&mut self, longest: Duration) -> Result<String, RecvTimeoutError> {
        let line = self.lines.recv_timeout(longest)?;
        self.output.push_str(&line);
        Ok(line)
    }

    /// Tries until there is a value. The program has to run until then.
    pub(crate) fn until<T>(&mut self, what: &str, mut attempt: impl FnMut(&str) -> Option<T>) -> T {
        for _ in 0..ATTEMPTS {
            if let Some(value) = attempt(&self.output) {
                return value;
            }
            if self.next(PAUSE) == Err(RecvTimeoutError::Disconnected) {
                break;
            }
        }
        let last = attempt(&self.output);
        last.unwrap_or_else(|| panic!("no {what}:\n{}", self.output))
    }

    /// Waits for a line with these words, and returns the rest of it.
    pub(crate) fn rest_after(&mut self, words: &str) -> String {
        self.until(words, |output| {
            let (_, rest) = output.split_once(words)?;
            rest.lines().next().map(|rest| rest.trim().to_owned())
        })
    }

    /// Waits for the end of the program. Returns whether it succeeded, and its whole output.
    pub(crate) fn end(mut self) -> (bool, String) {
        self.output.extend(self.lines.iter());
        (self.child.wait().unwrap().success(), std::mem::take(&mut self.output))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The file of signals of one process without faults.
pub(crate) fn undisturbed(directory: &Path) -> Vec<u8> {
    let signals = directory.join("undisturbed.jsonl");
    let (succeeded, output) = ran(command(&["--signals", signals.to_str().unwrap()]));
    assert!(succeeded, "{output}");
    let signals = fs::read(signals).unwrap();
    assert_eq!(signals.iter().filter(|byte| **byte == b'\n').count(), 51);
    signals
}
