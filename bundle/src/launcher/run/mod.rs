//! Decides what happens to each member, and when. One thread owns all members and waits for one
//! channel, until a wake arrives or the next step is due.
//!
//! `slot` is a member and its process; `change` changes members while the bundle runs. This file
//! starts, watches, restarts and ends members in order, and reports to the members, to other
//! threads and to people. It uses all other modules of `launcher`.

mod change;
mod slot;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGKILL, SIGTERM};

use super::handle::{BundleHandle, MemberId, Wake};
use super::member::Member;
use super::order;
use super::pipe::MemberPipe;
use super::process::Process;
use super::report::{BundleError, BundleEvent, BundleReport};
use super::signals::Signals;
use crate::protocol::{self, MemberState};
use slot::{Slot, State, StopRequest};

/// How long after the first signal further ones count as the same request: `timeout` of coreutils
/// sends one signal to its process, and one to the group of the process.
const ONE_SIGNAL: Duration = Duration::from_millis(100);

pub(crate) type Observer = Box<dyn FnMut(&BundleEvent) + Send>;

/// The user's settings.
pub(crate) struct Settings {
    pub(crate) deadline: Duration,
    pub(crate) observer: Option<Observer>,
    /// Whether SIGHUP ends the bundle.
    pub(crate) ends_at_hangup: bool,
}

/// A running bundle. Dropping it kills the members.
pub(crate) struct Run {
    slots: BTreeMap<MemberId, Slot>,
    next_id: u64,
    /// Whether the members have changed since their order was computed.
    order_is_old: bool,
    /// The last states written to the members, of all current and former members of the bundle.
    written: BTreeMap<String, MemberState>,
    settings: Settings,
    _signals: Signals,
    handle: BundleHandle,
    wakes: Receiver<Wake>,
    origin: Instant,
    stopping: bool,
    /// Whether the bundle was stopped while members were running.
    stopped_early: bool,
    /// When the first signal arrived.
    interrupted: Option<Duration>,
    /// Whether a second signal has arrived, so that members are killed.
    killing: bool,
    /// The names of members that had to be killed.
    killed: Vec<String>,
    /// The first failure.
    error: Option<BundleError>,
}

impl Run {
    /// Checks that the members fit together. Starts nothing yet.
    pub(crate) fn new(
        members: Vec<Member>,
        settings: Settings,
        handle: BundleHandle,
        wakes: Receiver<Wake>,
    ) -> Result<Run, BundleError> {
        order::check(&members.iter().map(Member::name_and_feeders).collect::<Vec<_>>())?;
        let next_id = members.len() as u64;
        let expected = |member: &Member| (member.name.clone(), MemberState::Expected);
        let written = members.iter().map(expected).collect();
        let slots = (0..).map(MemberId).zip(members.into_iter().map(Slot::new)).collect();
        handle.runs_here();
        Ok(Run {
            slots,
            next_id,
            order_is_old: true,
            written,
            _signals: Signals::forward(handle.wakes(), settings.ends_at_hangup)?,
            settings,
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
        self.publish();
        while !self.slots.values().all(Slot::has_ended) {
            match self.wait() {
                Some(Wake::Exited(member)) => self.exited(member)?,
                Some(Wake::Stop(deadline)) => {
                    self.stopping = true;
                    self.settings.deadline = deadline.unwrap_or(self.settings.deadline);
                }
                Some(Wake::Interrupted) => {
                    tracing::info!("the launcher was interrupted: the bundle ends");
                    self.stopping = true;
                    let now = self.now();
                    let first = *self.interrupted.get_or_insert(now);
                    self.killing |= now.saturating_sub(first) >= ONE_SIGNAL;
                }
                Some(Wake::Change(changes, reply)) => {
                    let result = self.change(changes);
                    self.publish();
                    // Ignores an error, because the caller may be gone.
                    let _ = reply.send(result);
                }
                None => (),
            }
            self.reorder();
            self.start_due();
            self.stop_next();
            self.write_changes();
            self.publish();
        }
        match self.error.take() {
            Some(error) => Err(error),
            None if self.killed.is_empty() => {
                Ok(BundleReport { members: self.handle.members(), stopped: self.stopped_early })
            }
            None => Err(BundleError::Killed { members: std::mem::take(&mut self.killed) }),
        }
    }

    /// Waits for the next wake. Returns `None` when a step is due.
    fn wait(&self) -> Option<Wake> {
        let due = self.slots.values().filter_map(|slot| match slot.state {
            State::Waiting { until } if !self.is_held(slot) => Some(until),
            State::Running { stop: StopRequest::Term { until }, .. } => Some(until),
            _ => None,
        });
        // The channel is never disconnected, because `handle` has a sender, so the only error is
        // the time-out.
        match due.min() {
            Some(due) => self.wakes.recv_timeout(due.saturating_sub(self.now())).ok(),
            None => self.wakes.recv().ok(),
        }
    }

    fn start_due(&mut self) {
        let now = self.now();
        let is_due = |slot: &Slot| match slot.state {
            State::Waiting { until } => until <= now && !self.is_held(slot),
            _ => false,
        };
        let due = self.slots.iter().filter_map(|(id, slot)| is_due(slot).then_some(*id));
        for id in due.collect::<Vec<_>>() {
            // If a member cannot start, the bundle ends, and the members after it do not start.
            let is_needed = |slot| !self.stopping || self.is_needed_at_the_end(slot);
            if self.slots.get(&id).is_some_and(is_needed) {
                self.start(id);
            }
        }
    }

    fn start(&mut self, id: MemberId) {
        let lines = lines(&self.states());
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let (name, mut command) = (slot.member.name.clone(), (slot.member.command)());
        let program = command.get_program().to_owned();
        let wakes = self.handle.wakes();
        let exited = move || {
            // Ignores an error: without a receiver the run has ended, and so has the member.
            let _ = wakes.send(Wake::Exited(id));
        };
        let pipe = MemberPipe::attach(&mut command, &lines);
        // Locks the list of members before the process starts, so that a thread that learns of the
        // process also finds it in the list.
        let handle = self.handle.clone();
        let mut shown = handle.lock();
        let started = pipe.and_then(|pipe| Ok((Process::start(command, exited)?, pipe)));
        match started {
            Ok((process, pipe)) => {
                let pid = process.pid();
                slot.starts += 1;
                slot.state = State::Running { process, stop: StopRequest::No, pipe };
                shown.insert(id, slot.published(now()));
                drop(shown);
                self.report_event(BundleEvent::Started { member: name, pid });
            }
            Err(error) => {
                drop(shown);
                let first = slot.starts == 0;
                self.report_event(BundleEvent::NotStarted {
                    member: name.clone(),
                    error: format!("cannot run `{}`: {error}", Path::new(&program).display()),
                });
                // The command has run before, so it may run again later: its file may be in the
                // middle of a replacement, or processes may be scarce.
                if first || self.restart(id).is_err() {
                    self.give_up(id, BundleError::Start { member: name, program, error });
                }
            }
        }
    }

    fn exited(&mut self, id: MemberId) -> io::Result<()> {
        let Some(slot) = self.slots.get_mut(&id) else { return Ok(()) };
        let name = slot.member.name.clone();
        let state = std::mem::replace(&mut slot.state, State::Stopped);
        let State::Running { process, stop, .. } = state else { return Ok(()) };
        let status = process.reap()?;
        slot.status = Some(status);
        let (is_leaving, restart) = (slot.is_leaving(), slot.member.restart);
        if status.success() {
            slot.state = State::Completed;
        } else if !self.stopping {
            // A temporary state, until the code below decides whether and when the member restarts.
            slot.state = State::Waiting { until: Duration::MAX };
        }
        self.publish();
        // Also compares the signal, because the process may have exited just before the kill.
        let was_killed = matches!(stop, StopRequest::Kill) && status.signal() == Some(SIGKILL);
        if was_killed {
            self.report_event(BundleEvent::Killed { member: name.clone() });
        }
        self.report_event(BundleEvent::Exited { member: name.clone(), status });
        if status.code() == Some(protocol::UNDELIVERED.into()) {
            // The messages were lost with the process, and another process cannot restore them, so
            // the member is not restarted.
            self.give_up(id, BundleError::Undelivered { member: name });
        } else if is_leaving && !self.stopping {
            self.follow(id);
        } else if status.success() {
            // Nothing to do: the member has completed.
        } else if was_killed {
            self.killed.push(name);
        } else if status.code() == Some(protocol::NO_RESTART.into()) {
            self.give_up(id, BundleError::Refused { member: name });
        } else if self.stopping {
            // A member without a handler for SIGTERM dies of it. That is no failure.
            if !(matches!(stop, StopRequest::Term { .. }) && status.signal() == Some(SIGTERM)) {
                self.give_up(id, BundleError::Stopped { member: name, status });
            }
        } else if let Err(restarts) = self.restart(id) {
            let window = restart.window;
            self.give_up(id, BundleError::Failed { member: name, status, restarts, window });
        }
        Ok(())
    }

    /// Schedules the restart of a failed member. Returns the number of restarts so far if the limit
    /// is exceeded.
    fn restart(&mut self, id: MemberId) -> Result<(), u32> {
        let now = self.now();
        let Some(Slot { member, failures, state, .. }) = self.slots.get_mut(&id) else {
            return Ok(());
        };
        let restarts = failures.count();
        let pause = failures.pause(&member.restart, now, fastrand::u64(..)).ok_or(restarts)?;
        *state = State::Waiting { until: now.saturating_add(pause) };
        let member = member.name.clone();
        self.report_event(BundleEvent::Restarting { member, pause });
        Ok(())
    }

    fn give_up(&mut self, id: MemberId, error: BundleError) {
        self.stopping = true;
        self.error.get_or_insert(error);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.state = State::Stopped;
        let member = slot.member.name.clone();
        self.publish();
        self.report_event(BundleEvent::GivenUp { member });
    }

    /// Sends SIGTERM to the members whose feeders have exited, and kills those whose deadline has
    /// passed.
    fn stop_next(&mut self) {
        if self.stopping {
            let begins = !self.handle.is_ending();
            self.handle.set_ending();
            self.stopped_early |= !self.slots.values().all(Slot::has_ended);
            let waiting = self.slots.iter();
            let waiting = waiting.filter(|(_, slot)| matches!(slot.state, State::Waiting { .. }));
            let waiting: Vec<_> =
                waiting.map(|(id, slot)| (*id, self.is_needed_at_the_end(slot))).collect();
            let now = self.now();
            for (id, is_needed) in waiting {
                let Some(slot) = self.slots.get_mut(&id) else { continue };
                if !is_needed {
                    slot.state = State::Stopped;
                } else if begins {
                    slot.state = State::Waiting { until: now };
                }
            }
        }
        let leaving = self.slots.iter().filter(|(_, slot)| self.is_to_end(slot));
        for id in leaving.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.stop_if_due(id);
        }
    }

    /// Returns whether a member must restart although the bundle ends, because a feeder of it still
    /// runs and may have messages for it.
    fn is_needed_at_the_end(&self, slot: &Slot) -> bool {
        let mut feeders = slot.waits_for.iter().filter_map(|feeder| self.slots.get(feeder));
        slot.starts > 0 && !self.killing && feeders.any(Slot::runs)
    }

    fn stop_if_due(&mut self, id: MemberId) {
        let is_next = self.slots.get(&id).is_some_and(|slot| {
            let feeders = slot.waits_for.iter().filter_map(|feeder| self.slots.get(feeder));
            !feeders.into_iter().any(|feeder| self.is_to_end(feeder))
        });
        let now = self.now();
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let State::Running { process, stop, .. } = &mut slot.state else { return };
        let overdue = matches!(stop, StopRequest::Term { until } if *until <= now);
        match stop {
            StopRequest::No | StopRequest::Term { .. } if self.killing || overdue => {
                *stop = StopRequest::Kill;
                process.kill();
                self.publish();
            }
            StopRequest::No if is_next => {
                *stop = StopRequest::Term { until: now.saturating_add(self.settings.deadline) };
                process.terminate();
                let member = slot.member.name.clone();
                self.publish();
                self.report_event(BundleEvent::Stopping { member });
            }
            _ => (),
        }
    }

    /// Writes the states that have changed since the last call to all processes.
    fn write_changes(&mut self) {
        let states = self.states();
        let changed = states.iter().filter(|(name, state)| self.written.get(*name) != Some(*state));
        let changed = lines(changed);
        if changed.is_empty() {
            return;
        }
        let all = lines(&states);
        for slot in self.slots.values_mut() {
            if let State::Running { pipe, .. } = &mut slot.state {
                pipe.write(&changed, &all);
            }
        }
        self.written = states;
    }

    /// Returns the states of all members. Removed members are `Gone`.
    fn states(&self) -> BTreeMap<String, MemberState> {
        let known = self.written.keys().map(|name| (name.clone(), MemberState::Gone));
        let members = self.slots.values().map(|it| (it.member.name.clone(), it.reported()));
        known.chain(members).collect()
    }

    /// Publishes the states of the members to other threads.
    fn publish(&mut self) {
        let (now, mut shown) = (now(), self.handle.lock());
        shown.extend(self.slots.iter_mut().map(|(id, slot)| (*id, slot.published(now))));
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
        self.settings.observer.iter_mut().for_each(|observer| observer(&event));
    }

    /// Prints a failure that would otherwise be invisible. If standard error is closed, the line is
    /// lost.
    fn print(&self, level: &str, event: &BundleEvent) {
        if self.settings.observer.is_none() && !tracing::dispatcher::has_been_set() {
            let line =
                format!("mycelium: {level}: member `{}` {}\n", event.member(), event.predicate());
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }

    fn now(&self) -> Duration {
        now().saturating_duration_since(self.origin)
    }
}

/// Returns these states as lines of the protocol.
fn lines<'s>(states: impl IntoIterator<Item = (&'s String, &'s MemberState)>) -> Vec<String> {
    states.into_iter().map(|(name, state)| state.line(name)).collect()
}

impl Drop for Run {
    fn drop(&mut self) {
        self.slots.clear();
        self.handle.set_ending();
        self.handle.lock().clear();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a launcher has no executor: it reads the clock of the system"
)]
fn now() -> Instant {
    Instant::now()
}
