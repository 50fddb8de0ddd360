//! Decides what happens to each member, and when. One thread owns all members and waits for one
//! channel; the next time at which something is due limits the wait.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGKILL, SIGTERM};

use crate::handle::{BundleHandle, Wake};
use crate::member::Member;
use crate::order::stop_order;
use crate::pipe::MemberPipe;
use crate::process::Process;
use crate::protocol::{self, MemberState};
use crate::report::{BundleError, BundleEvent, BundleReport, MemberOutcome, MemberReport};
use crate::restart::Failures;

/// Signals within this time of the first one are the same request: `timeout` of coreutils sends one
/// to its process, and one to the group with it.
const ONE_SIGNAL: Duration = Duration::from_millis(100);

pub(crate) type Observer = Box<dyn FnMut(&BundleEvent) + Send>;

/// A bundle that runs. Dropping it kills the members.
pub(crate) struct Run {
    slots: Vec<Slot>,
    deadline: Duration,
    observer: Option<Observer>,
    _signals: Signals,
    handle: BundleHandle,
    wakes: Receiver<Wake>,
    origin: Instant,
    stopping: bool,
    /// It was stopped while members were running.
    stopped_early: bool,
    /// When the first signal arrived.
    interrupted: Option<Duration>,
    /// A second signal arrived.
    killing: bool,
    /// Members that did not end by themselves.
    killed: Vec<String>,
    /// The first failure.
    error: Option<BundleError>,
}

/// A member and its process.
struct Slot {
    member: Member,
    waits_for: Vec<usize>,
    state: State,
    failures: Failures,
    starts: u64,
    status: Option<ExitStatus>,
    /// The state of this member that was last written to the members.
    written: MemberState,
}

enum State {
    /// To be started.
    Waiting {
        until: Duration,
    },
    Running {
        process: Process,
        stop: StopRequest,
        /// Dropped after the process, which takes the end of the pipe for the end of the launcher.
        pipe: MemberPipe,
    },
    Ended(MemberOutcome),
}

/// Whether and how a process was stopped.
#[derive(Clone, Copy)]
enum StopRequest {
    No,
    /// It got SIGTERM, and has until then to exit.
    Term {
        until: Duration,
    },
    Kill,
}

impl Run {
    /// Checks that the members fit together. Starts nothing yet.
    pub(crate) fn new(
        members: Vec<Member>,
        deadline: Duration,
        observer: Option<Observer>,
        handle: BundleHandle,
        wakes: Receiver<Wake>,
    ) -> Result<Run, BundleError> {
        if let Some(member) = members.iter().find(|member| !protocol::is_name(&member.name)) {
            return Err(BundleError::Name { member: member.name.clone() });
        }
        let order = stop_order(&members)?;
        let slots = members.into_iter().zip(order).map(|(member, waits_for)| Slot {
            member,
            waits_for,
            state: State::Waiting { until: Duration::ZERO },
            failures: Failures::default(),
            starts: 0,
            status: None,
            written: MemberState::Expected,
        });
        Ok(Run {
            slots: slots.collect(),
            deadline,
            observer,
            _signals: Signals::forward(handle.wakes())?,
            handle,
            wakes,
            origin: now(),
            stopping: false,
            stopped_early: false,
            interrupted: None,
            killing: false,
            killed: Vec::new(),
            error: None,
        })
    }

    pub(crate) fn until_all_have_ended(mut self) -> Result<BundleReport, BundleError> {
        while !self.slots.iter().all(Slot::has_ended) {
            match self.wait() {
                Some(Wake::Exited(member)) => self.exited(member)?,
                Some(Wake::Stop) => self.stopping = true,
                Some(Wake::Interrupted) => {
                    tracing::info!("the launcher was interrupted: the bundle ends");
                    self.stopping = true;
                    let now = self.now();
                    let first = *self.interrupted.get_or_insert(now);
                    self.killing |= now.saturating_sub(first) >= ONE_SIGNAL;
                }
                None => (),
            }
            self.start_due();
            if self.stopping {
                self.stop_next();
            }
            self.write_changes();
        }
        match self.error.take() {
            Some(error) => Err(error),
            None if self.killed.is_empty() => Ok(self.report()),
            None => Err(BundleError::Killed { members: std::mem::take(&mut self.killed) }),
        }
    }

    /// The next wake, or `None` when something is due.
    fn wait(&self) -> Option<Wake> {
        let due = self.slots.iter().filter_map(|slot| match slot.state {
            State::Waiting { until } => Some(until),
            State::Running { stop: StopRequest::Term { until }, .. } => Some(until),
            _ => None,
        });
        // The channel stays open, because `handle` has a sender: only the time-out is an error.
        match due.min() {
            Some(due) => self.wakes.recv_timeout(due.saturating_sub(self.now())).ok(),
            None => self.wakes.recv().ok(),
        }
    }

    fn start_due(&mut self) {
        for member in 0..self.slots.len() {
            let due = match self.slots[member].state {
                State::Waiting { until } => until <= self.now(),
                _ => false,
            };
            if due && !self.stopping {
                self.start(member);
            }
        }
    }

    fn start(&mut self, member: usize) {
        let slot = &mut self.slots[member].member;
        let (name, mut command) = (slot.name.clone(), (slot.command)());
        let program = command.get_program().to_owned();
        let wakes = self.handle.wakes();
        let exited = move || {
            // Without a receiver the run has ended, and so has the member.
            let _ = wakes.send(Wake::Exited(member));
        };
        let lines = self.lines();
        let pipe = MemberPipe::attach(&mut command, &lines);
        let started = pipe.and_then(|pipe| Ok((Process::start(command, exited)?, pipe)));
        let slot = &mut self.slots[member];
        match started {
            Ok((process, pipe)) => {
                let pid = process.pid();
                slot.starts += 1;
                slot.state = State::Running { process, stop: StopRequest::No, pipe };
                self.handle.pids().insert(name.clone(), pid);
                self.report_event(BundleEvent::Started { member: name, pid });
            }
            Err(error) => {
                let first = slot.starts == 0;
                self.report_event(BundleEvent::NotStarted {
                    member: name.clone(),
                    error: format!("cannot run `{}`: {error}", Path::new(&program).display()),
                });
                // A command that has run before may run again: its file is being replaced, or
                // processes are scarce.
                if first || self.restart(member).is_err() {
                    self.give_up(member, BundleError::Start { member: name, program, error });
                }
            }
        }
    }

    fn exited(&mut self, member: usize) -> io::Result<()> {
        let slot = &mut self.slots[member];
        let name = slot.member.name.clone();
        let state = std::mem::replace(&mut slot.state, State::Ended(MemberOutcome::Stopped));
        let State::Running { process, stop, .. } = state else { return Ok(()) };
        let status = process.reap()?;
        slot.status = Some(status);
        self.handle.pids().remove(&name);
        // It may have exited by itself just before.
        let was_killed = matches!(stop, StopRequest::Kill) && status.signal() == Some(SIGKILL);
        if was_killed {
            self.report_event(BundleEvent::Killed { member: name.clone() });
        }
        self.report_event(BundleEvent::Exited { member: name.clone(), status });
        if status.success() {
            self.slots[member].state = State::Ended(MemberOutcome::Completed);
        } else if was_killed {
            self.killed.push(name);
        } else if status.code() == Some(protocol::UNDELIVERED.into()) {
            // The messages were lost with the process: another process cannot bring them back.
            self.give_up(member, BundleError::Undelivered { member: name });
        } else if status.code() == Some(protocol::NO_RESTART.into()) {
            self.give_up(member, BundleError::Refused { member: name });
        } else if self.stopping {
            // A member that does not handle SIGTERM dies of it. That is not a failure.
            if !(matches!(stop, StopRequest::Term { .. }) && status.signal() == Some(SIGTERM)) {
                self.give_up(member, BundleError::Stopped { member: name, status });
            }
        } else if let Err(restarts) = self.restart(member) {
            let window = self.slots[member].member.restart.window;
            self.give_up(member, BundleError::Failed { member: name, status, restarts, window });
        }
        Ok(())
    }

    /// Schedules the restart of a failed member. Returns the number of restarts so far if the limit
    /// is exceeded.
    fn restart(&mut self, member: usize) -> Result<(), u32> {
        let now = self.now();
        let Slot { member, failures, state, .. } = &mut self.slots[member];
        let restarts = failures.count();
        let pause = failures.pause(&member.restart, now, fastrand::u64(..)).ok_or(restarts)?;
        *state = State::Waiting { until: now.saturating_add(pause) };
        let member = member.name.clone();
        self.report_event(BundleEvent::Restarting { member, pause });
        Ok(())
    }

    fn give_up(&mut self, member: usize, error: BundleError) {
        self.slots[member].state = State::Ended(MemberOutcome::Stopped);
        self.stopping = true;
        self.error.get_or_insert(error);
        let member = self.slots[member].member.name.clone();
        self.report_event(BundleEvent::GivenUp { member });
    }

    /// Sends SIGTERM to the members whose feeders have exited, and kills those whose time is over.
    fn stop_next(&mut self) {
        let now = self.now();
        self.stopped_early |= !self.slots.iter().all(Slot::has_ended);
        for slot in &mut self.slots {
            if let State::Waiting { .. } = slot.state {
                slot.state = State::Ended(MemberOutcome::Stopped);
            }
        }
        for member in 0..self.slots.len() {
            let ended = |&feeder: &usize| self.slots[feeder].has_ended();
            let is_next = self.slots[member].waits_for.iter().all(ended);
            let Slot { member, state, .. } = &mut self.slots[member];
            let State::Running { process, stop, .. } = state else { continue };
            let member = member.name.clone();
            let overdue = matches!(stop, StopRequest::Term { until } if *until <= now);
            match stop {
                StopRequest::No | StopRequest::Term { .. } if self.killing || overdue => {
                    *stop = StopRequest::Kill;
                    process.kill();
                }
                StopRequest::No if is_next => {
                    *stop = StopRequest::Term { until: now.saturating_add(self.deadline) };
                    process.terminate();
                    self.report_event(BundleEvent::Stopping { member });
                }
                _ => (),
            }
        }
    }

    /// Writes to all processes what has changed since the last call.
    fn write_changes(&mut self) {
        let mut changed = Vec::new();
        for slot in &mut self.slots {
            let state = slot.reported();
            if std::mem::replace(&mut slot.written, state) != state {
                changed.push(state.line(&slot.member.name));
            }
        }
        if changed.is_empty() {
            return;
        }
        let all = self.lines();
        for slot in &mut self.slots {
            if let State::Running { pipe, .. } = &mut slot.state {
                pipe.write(&changed, &all);
            }
        }
    }

    /// The state of each member, as lines.
    fn lines(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.reported().line(&slot.member.name)).collect()
    }

    fn report_event(&mut self, event: BundleEvent) {
        let (member, predicate) = (event.member(), event.predicate());
        match event {
            BundleEvent::GivenUp { .. } | BundleEvent::Killed { .. } => {
                tracing::error!("member `{member}` {predicate}");
                self.print("error", &event);
            }
            BundleEvent::NotStarted { .. } | BundleEvent::Restarting { .. } => {
                tracing::warn!("member `{member}` {predicate}");
                self.print("warning", &event);
            }
            _ => tracing::info!("member `{member}` {predicate}"),
        }
        self.observer.iter_mut().for_each(|observer| observer(&event));
    }

    /// Prints a failure that nobody would see otherwise. If standard error is closed, the line is
    /// lost.
    fn print(&self, level: &str, event: &BundleEvent) {
        if self.observer.is_none() && !tracing::dispatcher::has_been_set() {
            let line =
                format!("mycelium: {level}: member `{}` {}\n", event.member(), event.predicate());
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }

    fn report(&self) -> BundleReport {
        let members = self.slots.iter().map(|slot| MemberReport {
            name: slot.member.name.clone(),
            outcome: match slot.state {
                State::Ended(outcome) => outcome,
                _ => MemberOutcome::Stopped,
            },
            starts: slot.starts,
            status: slot.status,
        });
        BundleReport { members: members.collect(), stopped: self.stopped_early }
    }

    fn now(&self) -> Duration {
        now().saturating_duration_since(self.origin)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.slots.clear();
        self.handle.pids().clear();
    }
}

impl Slot {
    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    fn reported(&self) -> MemberState {
        match &self.state {
            State::Waiting { .. } => MemberState::Expected,
            State::Running { process, .. } => MemberState::Running(process.pid()),
            State::Ended(MemberOutcome::Completed) => MemberState::Completed,
            State::Ended(MemberOutcome::Stopped) => MemberState::Gone,
        }
    }
}

/// Sends the signals that end a bundle as wakes.
struct Signals(signal_hook::iterator::Handle);

impl Signals {
    fn forward(wakes: Sender<Wake>) -> io::Result<Signals> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let handle = Signals(signals.handle());
        thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                // Without a receiver the run has ended.
                let _ = wakes.send(Wake::Interrupted);
            }
        })?;
        Ok(handle)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a launcher has no executor: it reads the clock of the system"
)]
fn now() -> Instant {
    Instant::now()
}
