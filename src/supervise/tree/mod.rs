//! Supervisors and their children as a state machine, without a clock, a thread, a future or text.
//! Time and randomness are arguments.
//!
//! Methods are the input events: a child [began](Tree::begin) a run, it [started](Tree::started),
//! its run [ended](Tree::ended), its task is [gone](Tree::forget). [Commands](Command) are the
//! output: start this child after that time, end the run of this child, this child has ended
//! permanently. A child without a run and without a command waits. `member` passes events and
//! commands between the tree and tasks.
//!
//! The root is a special supervisor: its children start immediately and in no order, and a child
//! that fails too often ends alone. All other supervisors behave as in OTP; `docs/actors.md`
//! lists the laws. `halt` stops children and gives up, `kinds` has the states, `health` computes
//! the health of a supervisor.
//!
//! The cost of an event is linear in the number of affected children, and logarithmic in the number
//! of their siblings.

mod halt;
mod health;
mod kinds;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use mycelium_bundle::Restart;

use super::strategy::{Lifetime, Strategy};
pub(crate) use kinds::{
    AtTop, ChildId, ChildSpec, Command, Moment, RunEnd, State, SupervisorId, SupervisorSpec, Why,
};
use kinds::{Child, Key, Phase, Then};
use slots::Slots;

/// The longest pause before a restart while the tree drains, so that a child that fails each time
/// can still reach its limit before the deadline of the shutdown.
const LONGEST_AT_DRAIN: Duration = Duration::from_millis(100);

/// The state machine.
#[derive(Debug)]
pub(crate) struct Tree {
    slots: Slots,
    root: SupervisorId,
    at_top: AtTop,
    drains: bool,
    commands: VecDeque<Command>,
}

impl Tree {
    /// Creates a tree that has only its root.
    pub(crate) fn new(at_top: AtTop) -> Tree {
        let unlimited = Restart { limit: u32::MAX, window: Duration::ZERO, ..Restart::default() };
        let spec =
            SupervisorSpec { name: "".into(), strategy: Strategy::OneForOne, restart: unlimited };
        let mut slots = Slots::default();
        let root = slots.add_supervisor(None, spec);
        slots.supervisor_mut(root).phase = Phase::Up;
        Tree { slots, root, at_top, drains: false, commands: VecDeque::new() }
    }

    /// Returns the root. Its children start immediately, and a child that fails too often ends
    /// alone.
    pub(crate) fn root(&self) -> SupervisorId {
        self.root
    }

    /// Takes the next command. Execute commands in the order in which they are taken.
    pub(crate) fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Makes room for this many children.
    pub(crate) fn reserve(&mut self, children: usize) {
        self.slots.reserve(children);
    }

    /// Adds a supervisor after the other children of `parent`. It starts by [`start`](Tree::start),
    /// or with its parent. `None` if the parent has ended.
    pub(crate) fn add_supervisor(
        &mut self,
        parent: SupervisorId,
        spec: SupervisorSpec,
    ) -> Option<SupervisorId> {
        self.may_add(parent)?;
        Some(self.slots.add_supervisor(Some(parent), spec))
    }

    /// Adds a child after the other children of `parent`. It starts now if the parent has started
    /// all other children. `None` if the parent has ended.
    pub(crate) fn add_child(
        &mut self,
        parent: SupervisorId,
        spec: ChildSpec,
        now: Duration,
    ) -> Option<ChildId> {
        self.may_add(parent)?;
        let child = self.slots.add_child(parent, spec);
        let (_, order) = self.slots.place(child.0);
        let it = self.slots.supervisor_mut(parent);
        match (&it.phase, it.spec.strategy) {
            (Phase::Up, Strategy::OneForOne) => self.tell(child, now),
            // These strategies start children in order, so a child that is added meanwhile starts
            // after this one.
            (Phase::Up, Strategy::OneForAll | Strategy::RestForOne) => {
                self.start_from(parent, order, now);
            }
            (Phase::Down | Phase::Starts { .. } | Phase::Stops { .. }, _) => {}
        }
        Some(child)
    }

    /// Returns `None` if the supervisor is ending: it refuses further children.
    fn may_add(&self, parent: SupervisorId) -> Option<()> {
        match self.slots.supervisor(parent)?.phase {
            Phase::Stops { then: Then::End, .. } => None,
            Phase::Down | Phase::Up | Phase::Starts { .. } | Phase::Stops { .. } => Some(()),
        }
    }

    /// Starts the children of a supervisor, one after the other. No effect if the supervisor has
    /// started, or its parent starts it later.
    pub(crate) fn start(&mut self, supervisor: SupervisorId, now: Duration) {
        let Some(it) = self.slots.supervisor(supervisor) else { return };
        let is_down = matches!(it.phase, Phase::Down);
        let parent = self.slots.parent(supervisor.0);
        let runs = parent
            .is_some_and(|parent| matches!(self.slots.supervisor_mut(parent).phase, Phase::Up));
        if is_down && runs {
            self.start_from(supervisor, 0, now);
        }
    }

    /// Returns the state of a child; `None` if it has ended permanently.
    pub(crate) fn state(&self, child: ChildId) -> Option<State> {
        Some(self.slots.child(child)?.state)
    }

    /// Returns when a waiting child begins its next run at the earliest, as far as that is known.
    pub(crate) fn restarts_at(&self, child: ChildId) -> Option<Duration> {
        if let State::Told { at } = self.state(child)? {
            return Some(at);
        }
        match self.slots.supervisor(self.slots.parent(child.0)?)?.phase {
            Phase::Starts { at, .. } | Phase::Stops { then: Then::Start { at }, .. } => Some(at),
            Phase::Down
            | Phase::Up
            | Phase::Stops { then: Then::Fail { .. } | Then::Down | Then::End, .. } => None,
        }
    }

    /// Begins a run of a child, if there was a command for it and its time has come. Returns
    /// whether the run began.
    pub(crate) fn begin(&mut self, child: ChildId, now: Duration) -> bool {
        match self.slots.child_mut(child) {
            Some(child) if matches!(child.state, State::Told { at } if at <= now) => {
                child.state = State::Starting;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Notes that the run of a child has started: the next child may start.
    pub(crate) fn started(&mut self, child: ChildId) {
        if let Some(it @ Child { state: State::Starting, .. }) = self.slots.child_mut(child) {
            (it.state, it.has_started) = (State::Running, true);
            self.advance(child.0);
        }
    }

    /// Notes that the run of a child has ended.
    pub(crate) fn ended(&mut self, child: ChildId, end: RunEnd, moment: Moment) {
        let Some(it) = self.slots.child(child) else { return };
        let (lifetime, state) = (it.spec.lifetime, it.state);
        match end {
            RunEnd::Asked => return self.end_child(child, Why::Completed, moment),
            RunEnd::FailedForGood if lifetime != Lifetime::Temporary => {
                let restarts = it.failures.as_ref().map_or(0, |failures| failures.count());
                let window = it.spec.restart.window;
                let why = Why::GaveUp { restarts, window, supervisor: None };
                return self.fail_for_good(child, why, moment);
            }
            RunEnd::Returned if lifetime != Lifetime::Permanent || self.drains => {
                return self.end_child(child, Why::Completed, moment);
            }
            RunEnd::Returned | RunEnd::Failed | RunEnd::FailedForGood | RunEnd::Stopped => {}
        }
        if lifetime == Lifetime::Temporary {
            return self.end_child(child, Why::NotRestarted, moment);
        }
        let is_stopped = state == State::Stopping || end == RunEnd::Stopped;
        if self.drains && is_stopped {
            self.tell(child, moment.now);
        } else if is_stopped || self.is_halted(child.0) {
            self.set(child, State::Waiting);
            if let Some(parent) = self.slots.parent(child.0) {
                self.settle(parent, moment);
            }
        } else {
            self.child_failed(child, moment);
        }
    }

    /// Ends a child permanently, because its task is gone without a report.
    pub(crate) fn forget(&mut self, child: ChildId, moment: Moment) {
        self.end_child(child, Why::Completed, moment);
    }

    /// Begins the end of all children. The owner of the tree tells them to end; the tree only
    /// ensures that each can finish its work: waiting children are started now, and a failed child
    /// is restarted alone, whatever the strategy of its supervisor.
    pub(crate) fn drain(&mut self, now: Duration) {
        if std::mem::replace(&mut self.drains, true) {
            return;
        }
        for supervisor in self.slots.supervisors() {
            self.slots.supervisor_mut(supervisor).phase = Phase::Up;
        }
        for child in self.slots.children() {
            match self.state(child) {
                Some(State::Waiting | State::Told { .. }) => self.tell(child, now),
                Some(State::Starting | State::Running | State::Stopping) | None => {}
            }
        }
    }

    /// Handles a child's own failure.
    fn child_failed(&mut self, child: ChildId, moment: Moment) {
        let Moment { now, jitter } = moment;
        let Some(it) = self.slots.child_mut(child) else { return };
        it.state = State::Waiting;
        let restart = it.spec.restart.clone();
        let failures = it.failures.get_or_insert_default();
        let Some(pause) = failures.pause(&restart, now, jitter) else {
            let (restarts, window) = (failures.count(), restart.window);
            let why = Why::GaveUp { restarts, window, supervisor: None };
            return self.give_up(child.0, child, why, moment);
        };
        if self.drains {
            return self.tell(child, now.saturating_add(pause.min(LONGEST_AT_DRAIN)));
        }
        self.restart(child.0, child, pause, moment);
    }

    /// Restarts a failed child or supervisor after a pause, together with others if the parent's
    /// strategy says so. Gives up after too many restarts.
    fn restart(&mut self, key: Key, culprit: ChildId, pause: Duration, moment: Moment) {
        let Moment { now, jitter } = moment;
        let (parent, order) = self.slots.place(key);
        let Some(parent) = parent else { return };
        let it = self.slots.supervisor_mut(parent);
        let limit = it.spec.restart;
        if it.restarts.pause(&limit, now, jitter).is_none() {
            let (restarts, window) = (it.restarts.count(), limit.window);
            let supervisor = Some(it.spec.name.clone());
            let why = Why::GaveUp { restarts, window, supervisor };
            return self.give_up(key, culprit, why, moment);
        }
        let at = now.saturating_add(pause);
        match it.spec.strategy {
            Strategy::OneForOne => {
                match self.slots.as_child(key) {
                    Some(child) => self.tell(child, at),
                    None => self.start_from(SupervisorId(key), 0, at),
                }
                // The siblings do not need the failed child, so they do not wait for its next
                // start.
                self.advance(key);
            }
            Strategy::OneForAll => self.stop_and_start(parent, 0, at, moment),
            Strategy::RestForOne => self.stop_and_start(parent, order, at, moment),
        }
    }

    /// Starts the children of a supervisor from `next` on, one after the other. If all have
    /// started, the waiting parent continues.
    fn start_from(&mut self, supervisor: SupervisorId, next: u64, at: Duration) {
        if self.start_next(supervisor, next, at) {
            self.advance(supervisor.0);
        }
    }

    /// Continues after a child or a supervisor has started or ended: if its parent waits for that,
    /// the next sibling starts.
    fn advance(&mut self, mut key: Key) {
        loop {
            let (Some(parent), order) = self.slots.place(key) else { return };
            match self.slots.supervisor_mut(parent).phase {
                Phase::Starts { next, at } if next == order => {
                    if !self.start_next(parent, order + 1, at) {
                        return;
                    }
                    key = parent.0;
                }
                Phase::Down | Phase::Up | Phase::Starts { .. } | Phase::Stops { .. } => return,
            }
        }
    }

    /// Commands the next child to start. Returns whether there is none left: the supervisor has
    /// started.
    fn start_next(&mut self, supervisor: SupervisorId, mut next: u64, at: Duration) -> bool {
        loop {
            let it = self.slots.supervisor_mut(supervisor);
            let Some((&order, &key)) = it.children.range(next..).next() else {
                it.phase = Phase::Up;
                return true;
            };
            it.phase = Phase::Starts { next: order, at };
            next = order + 1;
            match self.slots.as_child(key) {
                Some(child) => match self.state(child) {
                    Some(State::Waiting) => {
                        self.tell(child, at);
                        return false;
                    }
                    // This child was commanded to start before, and may have failed since, so the
                    // others wait for it.
                    Some(State::Told { .. } | State::Starting) => return false,
                    Some(State::Running | State::Stopping) | None => {}
                },
                None => {
                    let child = SupervisorId(key);
                    let has_started = match self.slots.supervisor_mut(child).phase {
                        Phase::Up => true,
                        Phase::Down => self.start_next(child, 0, at),
                        Phase::Starts { .. } | Phase::Stops { .. } => false,
                    };
                    if !has_started {
                        return false;
                    }
                }
            }
        }
    }

    fn tell(&mut self, child: ChildId, at: Duration) {
        self.set(child, State::Told { at });
        self.commands.push_back(Command::Start { child, at });
    }

    fn set(&mut self, child: ChildId, state: State) {
        if let Some(it) = self.slots.child_mut(child) {
            it.state = state;
        }
    }

    /// Ends a child permanently. Its siblings continue.
    fn end_child(&mut self, child: ChildId, why: Why, moment: Moment) {
        if self.slots.child(child).is_none() {
            return;
        }
        // Reads the place of the child before the removal, while it is known.
        let (parent, order) = self.slots.place(child.0);
        self.slots.remove(child.0);
        self.commands.push_back(Command::End { child, why });
        let Some(parent) = parent else { return };
        match self.slots.supervisor_mut(parent).phase {
            Phase::Starts { next, at } if next == order => self.start_from(parent, next, at),
            Phase::Stops { .. } => self.settle(parent, moment),
            Phase::Down | Phase::Up | Phase::Starts { .. } => {}
        }
    }
}
