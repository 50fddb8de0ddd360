//! Decides what happens to which member, and when. One thread owns all of it and waits for one channel; what is due by
//! the clock bounds the wait.

use std::io;
use std::os::unix::process::ExitStatusExt;
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
use crate::members::{self, Standing};
use crate::supervision::Failures;

pub(super) fn run(bundle: Bundle) -> Result<Report, BundleError> {
    let nameless = bundle.members.iter().find(|member| !members::is_name(&member.name));
    if let Some(Member { name, .. }) = nameless {
        return Err(BundleError::Name { member: name.clone() });
    }
    let order = stop_order(&bundle.members)?;
    let slots = bundle.members.into_iter().zip(order).map(|(member, waits_for)| Slot {
        member,
        waits_for,
        state: State::Waiting { until: Duration::ZERO },
        failures: Failures::default(),
        starts: 0,
        status: None,
        told: Standing::Expected,
    });
    let run = Run {
        slots: slots.collect(),
        deadline: bundle.deadline,
        observer: bundle.observer,
        _signals: Signals::forward(bundle.handle.sender.clone())?,
        handle: bundle.handle,
        wakes: bundle.wakes,
        origin: now(),
        stopping: false,
        early: false,
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
    _signals: Signals,
    handle: Handle,
    wakes: Receiver<Wake>,
    origin: Instant,
    stopping: bool,
    /// It was to stop while members had still to end.
    early: bool,
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
    /// What the members were told of it.
    told: Standing,
}

enum State {
    /// To be started.
    Waiting {
        until: Duration,
    },
    Running {
        process: Process,
        asked: Asked,
        /// Dropped behind the process: its end says that the launcher is gone.
        lifeline: Lifeline,
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
            self.tell_members();
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
        let slot = &mut self.slots[member].member;
        let (name, mut command) = (slot.name.clone(), (slot.command)());
        let program = command.get_program().to_owned();
        let wakes = self.handle.sender.clone();
        let exited = move || {
            // Without a receiver the run is over, and so is the member.
            let _ = wakes.send(Wake::Exited(member));
        };
        let lines = self.lines();
        let lifeline = Lifeline::attach(&mut command, &lines);
        let started =
            lifeline.and_then(|lifeline| Ok((Process::start(command, exited)?, lifeline)));
        let slot = &mut self.slots[member];
        match started {
            Ok((process, lifeline)) => {
                let pid = process.pid();
                slot.starts += 1;
                slot.state = State::Running { process, asked: Asked::Not, lifeline };
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
        let State::Running { process, asked, .. } = state else { return Ok(()) };
        let status = process.reap()?;
        slot.status = Some(status);
        self.handle.pids.set(&name, None);
        self.tell(Event::Exited { member: name.clone(), status });
        if status.success() {
            self.slots[member].state = State::Ended(Outcome::Completed);
        } else if let Asked::ByKill = asked {
            self.killed.push(name);
        } else if status.code() == Some(Bundle::UNDELIVERED.into()) {
            // The messages were lost with the process: another one cannot bring them.
            self.give_up(member, BundleError::Undelivered { member: name });
        } else if status.code() == Some(Bundle::NO_RESTART.into()) {
            self.give_up(member, BundleError::Refused { member: name });
        } else if self.stopping {
            // A member that does not handle SIGTERM dies of it, which is no failure of its own.
            if !(matches!(asked, Asked::ToEnd { .. }) && status.signal() == Some(SIGTERM)) {
                self.give_up(member, BundleError::Stopped { member: name, status });
            }
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
        self.early |= !self.slots.iter().all(Slot::has_ended);
        for slot in &mut self.slots {
            if let State::Waiting { .. } = slot.state {
                slot.state = State::Ended(Outcome::Stopped);
            }
        }
        for member in 0..self.slots.len() {
            let ended = |&feeder: &usize| self.slots[feeder].has_ended();
            let is_next = self.slots[member].waits_for.iter().all(ended);
            let Slot { member, state, .. } = &mut self.slots[member];
            let State::Running { process, asked, .. } = state else { continue };
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

    /// Tells all members that run what has changed since this was last called.
    fn tell_members(&mut self) {
        let mut changed = Vec::new();
        for slot in &mut self.slots {
            let standing = slot.standing();
            if std::mem::replace(&mut slot.told, standing) != standing {
                changed.push(standing.line(&slot.member.name));
            }
        }
        if changed.is_empty() {
            return;
        }
        let all = self.lines();
        for slot in &mut self.slots {
            if let State::Running { lifeline, .. } = &mut slot.state {
                lifeline.tell(&changed, &all);
            }
        }
    }

    /// What holds of each member now, as lines.
    fn lines(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.standing().line(&slot.member.name)).collect()
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
        Report { members: members.collect(), stopped: self.early }
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

    fn standing(&self) -> Standing {
        match &self.state {
            State::Waiting { .. } => Standing::Expected,
            State::Running { process, .. } => Standing::Runs(process.pid()),
            State::Ended(Outcome::Completed) => Standing::Completed,
            State::Ended(Outcome::Stopped) => Standing::Gone,
        }
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
