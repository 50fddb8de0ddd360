//! Decides what happens to which member, and when. One thread owns all of it and waits for one channel; what is due by
//! the clock bounds the wait.

use std::io;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::lifeline::Lifeline;
use super::order::stop_order;
use super::process::Process;
use super::report::{BundleError, Event, MemberReport, Outcome, Report};
use super::{Bundle, Handle, Member, Observer, Wake};
use crate::supervision::Failures;

pub(super) fn run(bundle: Bundle) -> Result<Report, BundleError> {
    let order = stop_order(&bundle.members)?;
    let slots = bundle.members.into_iter().zip(order).map(|(member, waits_for)| Slot {
        member,
        waits_for,
        state: State::Waiting { until: Duration::ZERO },
        failures: Failures::default(),
        starts: 0,
        status: None,
    });
    let run = Run {
        slots: slots.collect(),
        deadline: bundle.deadline,
        observer: bundle.observer,
        lifeline: Lifeline::new()?,
        _signals: Signals::forward(bundle.handle.sender.clone())?,
        handle: bundle.handle,
        wakes: bundle.wakes,
        origin: now(),
        stopping: false,
        interrupted: false,
        killing: false,
        killed: Vec::new(),
        error: None,
    };
    run.until_none_is_left()
}

/// A bundle that runs. Dropping it kills the members.
struct Run {
    slots: Vec<Slot>,
    deadline: Duration,
    observer: Observer,
    lifeline: Lifeline,
    _signals: Signals,
    handle: Handle,
    wakes: Receiver<Wake>,
    origin: Instant,
    stopping: bool,
    /// There was a signal.
    interrupted: bool,
    /// There were two.
    killing: bool,
    /// Who did not end by itself.
    killed: Vec<String>,
    /// The first failure.
    error: Option<BundleError>,
}

/// A member and what became of it.
struct Slot {
    member: Member,
    waits_for: Vec<usize>,
    state: State,
    failures: Failures,
    starts: u64,
    status: Option<ExitStatus>,
}

enum State {
    /// To be started.
    Waiting {
        until: Duration,
    },
    Running {
        process: Process,
        asked: Asked,
    },
    Ended(Outcome),
}

/// How a process was asked to end.
#[derive(Clone, Copy)]
enum Asked {
    Not,
    ToEnd { until: Duration },
    ByKill,
}

impl Run {
    fn until_none_is_left(mut self) -> Result<Report, BundleError> {
        while !self.slots.iter().all(Slot::has_ended) {
            match self.wait() {
                Some(Wake::Exited(member)) => self.exited(member)?,
                Some(Wake::Stop) => self.stopping = true,
                Some(Wake::Interrupted) => {
                    tracing::info!("interrupted");
                    self.stopping = true;
                    self.killing = std::mem::replace(&mut self.interrupted, true);
                }
                None => (),
            }
            self.start_what_is_due();
            if self.stopping {
                self.stop_what_is_next();
            }
        }
        match self.error.take() {
            Some(error) => Err(error),
            None if self.killed.is_empty() => Ok(self.report()),
            None => Err(BundleError::Killed { members: std::mem::take(&mut self.killed) }),
        }
    }

    /// What happened, or `None` once something is due.
    fn wait(&self) -> Option<Wake> {
        let due = self.slots.iter().filter_map(|slot| match slot.state {
            State::Waiting { until } => Some(until),
            State::Running { asked: Asked::ToEnd { until }, .. } => Some(until),
            _ => None,
        });
        // Neither fails otherwise than by the clock: the handle here keeps the channel open.
        match due.min() {
            Some(due) => self.wakes.recv_timeout(due.saturating_sub(self.now())).ok(),
            None => self.wakes.recv().ok(),
        }
    }

    fn start_what_is_due(&mut self) {
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
        let slot = &mut self.slots[member];
        let name = slot.member.name.clone();
        let mut command = (slot.member.command)();
        let program = command.get_program().to_owned();
        let wakes = self.handle.sender.clone();
        let exited = move || {
            // Without a receiver the run is over, and so is the member.
            let _ = wakes.send(Wake::Exited(member));
        };
        let lifeline = self.lifeline.attach(&mut command);
        match lifeline.and_then(|()| Process::start(command, exited)) {
            Ok(process) => {
                let pid = process.pid();
                slot.starts += 1;
                slot.state = State::Running { process, asked: Asked::Not };
                self.handle.pids.set(&name, Some(pid));
                self.tell(Event::Started { member: name, pid });
            }
            Err(error) => {
                let first = slot.starts == 0;
                self.tell(Event::NotStarted { member: name.clone(), error: error.to_string() });
                // What has run before may run again: a file is being replaced, or processes are scarce.
                if first || self.restart(member).is_err() {
                    self.give_up(member, BundleError::Start { member: name, program, error });
                }
            }
        }
    }

    fn exited(&mut self, member: usize) -> io::Result<()> {
        let slot = &mut self.slots[member];
        let name = slot.member.name.clone();
        let state = std::mem::replace(&mut slot.state, State::Ended(Outcome::Stopped));
        let State::Running { process, asked } = state else { return Ok(()) };
        let status = process.reap()?;
        slot.status = Some(status);
        self.handle.pids.set(&name, None);
        self.tell(Event::Exited { member: name.clone(), status });
        if status.success() {
            self.slots[member].state = State::Ended(Outcome::Completed);
        } else if let Asked::ByKill = asked {
            self.killed.push(name);
        } else if self.stopping {
            // The end of a bundle is no time for another try.
        } else if status.code() == Some(Bundle::NO_RESTART.into()) {
            self.give_up(member, BundleError::Refused { member: name });
        } else if let Err(restarts) = self.restart(member) {
            let window = self.slots[member].member.restart.window;
            self.give_up(member, BundleError::Failed { member: name, status, restarts, window });
        }
        Ok(())
    }

    /// Lets a failed member wait for its restart, or says how often it had been restarted if that is enough.
    fn restart(&mut self, member: usize) -> Result<(), u32> {
        let now = self.now();
        let Slot { member, failures, state, .. } = &mut self.slots[member];
        let restarts = failures.earlier();
        let pause = failures.pause(&member.restart, now, fastrand::u64(..)).ok_or(restarts)?;
        *state = State::Waiting { until: now.saturating_add(pause) };
        let member = member.name.clone();
        self.tell(Event::Restarting { member, pause });
        Ok(())
    }

    fn give_up(&mut self, member: usize, error: BundleError) {
        self.slots[member].state = State::Ended(Outcome::Stopped);
        self.stopping = true;
        self.error.get_or_insert(error);
        let member = self.slots[member].member.name.clone();
        self.tell(Event::GivenUp { member });
    }

    /// Asks those to end for whom nobody else has to, and kills those who had their time.
    fn stop_what_is_next(&mut self) {
        let now = self.now();
        for slot in &mut self.slots {
            if let State::Waiting { .. } = slot.state {
                slot.state = State::Ended(Outcome::Stopped);
            }
        }
        for member in 0..self.slots.len() {
            let ended = |&feeder: &usize| self.slots[feeder].has_ended();
            let is_next = self.slots[member].waits_for.iter().all(ended);
            let Slot { member, state, .. } = &mut self.slots[member];
            let State::Running { process, asked } = state else { continue };
            let member = member.name.clone();
            let overdue = matches!(asked, Asked::ToEnd { until } if *until <= now);
            match asked {
                Asked::Not | Asked::ToEnd { .. } if self.killing || overdue => {
                    *asked = Asked::ByKill;
                    process.kill();
                    self.tell(Event::Killed { member });
                }
                Asked::Not if is_next => {
                    *asked = Asked::ToEnd { until: now.saturating_add(self.deadline) };
                    process.terminate();
                    self.tell(Event::Stopping { member });
                }
                _ => (),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::GivenUp { .. } | Event::Killed { .. } => tracing::error!("{event}"),
            Event::NotStarted { .. } | Event::Restarting { .. } => tracing::warn!("{event}"),
            _ => tracing::info!("{event}"),
        }
        (self.observer)(&event);
    }

    fn report(&self) -> Report {
        let members = self.slots.iter().map(|slot| MemberReport {
            name: slot.member.name.clone(),
            outcome: match slot.state {
                State::Ended(outcome) => outcome,
                _ => Outcome::Stopped,
            },
            starts: slot.starts,
            status: slot.status,
        });
        Report { members: members.collect() }
    }

    fn now(&self) -> Duration {
        now().saturating_duration_since(self.origin)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.slots.clear();
        self.handle.pids.clear();
    }
}

impl Slot {
    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }
}

/// The signals that end a bundle, as wakes.
struct Signals(signal_hook::iterator::Handle);

impl Signals {
    fn forward(wakes: Sender<Wake>) -> io::Result<Signals> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let handle = Signals(signals.handle());
        thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                // Without a receiver the run is over.
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
    reason = "a launcher has no executor: its clock is the system's"
)]
fn now() -> Instant {
    Instant::now()
}
