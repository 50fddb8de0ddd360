//! Bundles of real processes: this test program is run again as a member or as a launcher.
//!
//! No test sleeps. Processes report what they do on a pipe that all of them hold, so the end of the
//! pipe proves that all have ended.
#![cfg(unix)]
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology", feature = "tracing"))]

mod changes;
#[cfg(target_os = "linux")]
mod completed;
mod ends;
mod launcher;
#[cfg(target_os = "linux")]
mod pipeline;
mod restarts;
mod roles;
#[cfg(target_os = "linux")]
mod upgrade;

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, pipe};
use std::iter;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mycelium::supervision::Restart;
use mycelium_bundle::{Bundle, BundleError, BundleEvent, BundleHandle, BundleReport, Member};
use rustix::process::{Pid, Signal, kill_process};

/// Longer than any step takes, and shorter than the time limit of the tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Restarts without a noticeable pause.
const SOON: Restart = Restart {
    limit: 3,
    window: Duration::from_secs(60),
    backoff: Duration::from_millis(1),
    longest: Duration::from_millis(1),
};

/// Restarts only after more time than any test takes.
const LATE: Restart =
    Restart { backoff: Duration::from_secs(3600), longest: Duration::from_secs(3600), ..SOON };

/// Returns this test program in one of its `roles`.
fn program(role: &str, name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "bundle::roles::enter", "--nocapture", "--test-threads=1"]);
    command.env(roles::ROLE, role).env(roles::NAME, name);
    command
}

/// The reports of the processes that hold the writer of the pipe.
struct Said {
    lines: Receiver<String>,
}

impl Said {
    fn by(reader: PipeReader) -> Said {
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Other lines are libtest's.
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if let Some(said) = line.strip_prefix('@') {
                    let _ = sender.send(said.to_owned());
                }
            }
        });
        Said { lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a process says something")
    }

    /// Returns the next lines, sorted, because their order does not matter.
    fn sorted<const N: usize>(&self) -> [String; N] {
        let mut said = std::array::from_fn(|_| self.next());
        said.sort();
        said
    }

    /// Returns the remaining lines, once no process holds the writer any more.
    fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(said) => rest.push(said),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("a process is left"),
            }
        }
    }
}

/// A bundle under construction, whose members report.
struct Speaking {
    bundle: Bundle,
    writer: PipeWriter,
    said: Said,
    events: Receiver<BundleEvent>,
}

type Running = JoinHandle<Result<BundleReport, BundleError>>;

fn speaking() -> Speaking {
    let (reader, writer) = pipe().unwrap();
    let (sender, events) = channel();
    let bundle = Bundle::new().observe(move |event| _ = sender.send(event.clone()));
    Speaking { bundle, writer, said: Said::by(reader), events }
}

impl Speaking {
    /// Returns a member with a role, a name, and the members after which it ends.
    fn member(&self, role: &'static str, name: &'static str, feeders: &[&str]) -> Member {
        let writer = self.writer.try_clone().unwrap();
        let command = move || {
            let mut command = program(role, name);
            command.stdout(writer.try_clone().unwrap());
            command
        };
        let member = Member::new(name, command).restart(SOON);
        feeders.iter().fold(member, |member, feeder| member.ends_after(feeder))
    }

    /// Runs the bundle on another thread. Members that are added later are made by `self`.
    fn run(&mut self) -> (BundleHandle, Running) {
        let bundle = std::mem::take(&mut self.bundle);
        (bundle.handle(), thread::spawn(|| bundle.run()))
    }

    /// Runs the bundle, and waits until its members have reported their start.
    fn started<const N: usize>(&mut self) -> (BundleHandle, Running) {
        let running = self.run();
        self.said.sorted::<N>();
        running
    }

    /// Waits for an event of a member that begins with this text.
    fn wait_for(&self, event: &str) {
        let mut events = iter::from_fn(|| self.events.recv_timeout(PATIENCE).ok());
        assert!(events.any(|next| next.to_string().starts_with(event)), "{event}");
    }

    fn with(mut self, role: &'static str, name: &'static str, feeders: &[&str]) -> Speaking {
        let member = self.member(role, name, feeders);
        self.bundle = self.bundle.member(member);
        self
    }
}

/// Stops a running bundle, and waits for its end.
fn end(handle: &BundleHandle, running: Running) -> BundleReport {
    handle.stop();
    running.join().unwrap().unwrap()
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}
