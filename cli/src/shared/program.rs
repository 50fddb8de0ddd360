//! Runs a program to its end, with limits on its time and its output. The process leads its own
//! group, which is killed as a whole afterwards.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use mycelium_bundle::Process;

use crate::shared::clock::{Waits, Wake};
use crate::shared::exit::Failure;

/// How often a process that runs is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long the streams of a killed process are waited for.
const LAST: Duration = Duration::from_secs(1);

/// Reads a stream of a program, and returns what is kept of it; `None` if there is too much.
pub type Keep = fn(&mut dyn Read) -> Option<Vec<u8>>;

/// What a program has printed, and how it has ended.
#[derive(Debug)]
pub struct Ended {
    /// What was kept of standard output.
    pub output: Vec<u8>,
    /// What was kept of standard error.
    pub errors: Vec<u8>,
    /// How the process has ended.
    pub status: ExitStatus,
    /// From its start to its exit.
    pub took: Duration,
}

/// Why a program was not run to its end. It is killed.
#[derive(Debug)]
pub enum Unfinished {
    /// The system has refused something.
    Refused(io::Error),
    /// It took longer than the limit. Has what was kept of standard error.
    Late(Vec<u8>),
    /// It has printed too much.
    TooMuch,
    /// The tool was interrupted by a signal.
    Interrupted,
}

/// Runs programs, one after the other.
pub struct Programs {
    waits: Waits<(usize, Event)>,
    /// The number of the running program. Events with another number are ignored: a process that
    /// has left the group of an earlier program may still write.
    number: usize,
}

/// An event of a process.
#[derive(Debug)]
enum Event {
    /// What was kept of standard output.
    Output(Option<Vec<u8>>),
    /// What was kept of standard error.
    Errors(Option<Vec<u8>>),
    /// The process has exited, but is not reaped yet.
    Exited,
}

impl Programs {
    /// Creates the runs. From now on, signals interrupt them.
    ///
    /// # Errors
    /// If the system has no thread or handler for it.
    pub fn new() -> Result<Programs, Failure> {
        Ok(Programs { waits: Waits::new()?, number: 0 })
    }

    /// Runs a program. `look` gets the id of its process and whether it has exited: now and then
    /// while it runs, and once before it is reaped.
    ///
    /// # Errors
    /// If the program does not run to its end.
    pub fn run(
        &mut self,
        mut command: Command,
        limit: Duration,
        [output, errors]: [Keep; 2],
        mut look: impl FnMut(u32, bool),
    ) -> Result<Ended, Unfinished> {
        self.number += 1;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let begin = self.waits.clock.now();
        let until = begin.saturating_add(limit);
        let process = self.start(command, output, errors).map_err(Unfinished::Refused)?;
        let id = process.child.id();
        let (mut output, mut errors, mut took) = (None, None, None);
        while output.is_none() || errors.is_none() || took.is_none() {
            let now = self.waits.clock.now();
            match self.waits.until(until.min(now.saturating_add(LOOK))) {
                Wake::Due if self.waits.clock.now() >= until => {
                    process.kill();
                    return Err(Unfinished::Late(errors.unwrap_or_else(|| self.last_errors())));
                }
                Wake::Due if took.is_some() => {}
                Wake::Due => look(id, false),
                Wake::Interrupted => return Err(Unfinished::Interrupted),
                Wake::Sent((number, event)) if number == self.number => match event {
                    Event::Output(kept) => output = Some(kept.ok_or(Unfinished::TooMuch)?),
                    Event::Errors(kept) => errors = Some(kept.ok_or(Unfinished::TooMuch)?),
                    Event::Exited => {
                        look(id, true);
                        took = Some(self.waits.clock.now().saturating_sub(begin));
                        // Kills the whole group, because other processes in it may keep the output
                        // open.
                        process.kill();
                    }
                },
                Wake::Sent(_) => {}
            }
        }
        let status = process.reap().map_err(Unfinished::Refused)?;
        let (output, errors) = (output.unwrap_or_default(), errors.unwrap_or_default());
        Ok(Ended { output, errors, status, took: took.unwrap_or_default() })
    }

    /// Returns what was kept of standard error of a process that was killed. Another process may
    /// still have the stream: it is not waited for.
    fn last_errors(&self) -> Vec<u8> {
        let until = self.waits.clock.now().saturating_add(LAST);
        loop {
            match self.waits.until(until) {
                Wake::Sent((number, Event::Errors(kept))) if number == self.number => {
                    return kept.unwrap_or_default();
                }
                Wake::Sent(_) => {}
                Wake::Due | Wake::Interrupted => return Vec::new(),
            }
        }
    }

    /// Starts a process, and threads that report its output and its exit.
    fn start(&self, command: Command, output: Keep, errors: Keep) -> io::Result<Process> {
        let (sender, number) = (self.waits.sender(), self.number);
        let send = move |sender: &Sender<_>, event| {
            // Ignores an error: nobody waits for the event any more.
            let _ = sender.send(Some((number, event)));
        };
        let thread = |name: &str| thread::Builder::new().name(name.into());
        let exits = sender.clone();
        let mut process = Process::start(command, move || send(&exits, Event::Exited))?;
        if let Some(mut stream) = process.child.stdout.take() {
            let sender = sender.clone();
            let keep = move || send(&sender, Event::Output(output(&mut stream)));
            thread("output").spawn(keep)?;
        }
        if let Some(mut stream) = process.child.stderr.take() {
            thread("errors").spawn(move || send(&sender, Event::Errors(errors(&mut stream))))?;
        }
        Ok(process)
    }
}
