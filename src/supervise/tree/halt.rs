//! How supervisors stop children, in reverse order, and how they give up.

use std::time::Duration;

use mycelium_bundle::{Failures, Restart};

use super::Tree;
use super::kinds::{AtTop, ChildId, Command, Key, Moment, Phase, State, SupervisorId, Then, Why};

impl Tree {
    /// Ends a supervisor permanently: its children are stopped, the last one first, and it is
    /// removed. No effect on the root.
    pub(crate) fn stop(&mut self, supervisor: SupervisorId, moment: Moment) {
        if supervisor != self.root && self.slots.supervisor(supervisor).is_some() {
            self.halt(supervisor, Then::End);
            self.settle(supervisor, moment);
        }
    }

    /// Returns whether the parent of a child stops the child, now or soon.
    pub(super) fn is_halted(&mut self, key: Key) -> bool {
        let (Some(parent), order) = self.slots.place(key) else { return true };
        match self.slots.supervisor_mut(parent).phase {
            Phase::Down => true,
            Phase::Stops { from, .. } => order >= from,
            Phase::Up | Phase::Starts { .. } => false,
        }
    }

    /// Stops the children of a supervisor from `from` on, and starts them again at this time.
    pub(super) fn stop_and_start(
        &mut self,
        supervisor: SupervisorId,
        from: u64,
        at: Duration,
        moment: Moment,
    ) {
        let it = self.slots.supervisor_mut(supervisor);
        it.phase = match it.phase {
            Phase::Up | Phase::Starts { .. } => {
                Phase::Stops { from, until: u64::MAX, then: Then::Start { at } }
            }
            // A further child has failed. If it comes before the already stopped children, the stop
            // continues down to it.
            Phase::Stops { from: first, until, then: Then::Start { at: first_at } } => {
                let then = Then::Start { at: at.max(first_at) };
                Phase::Stops { from: from.min(first), until, then }
            }
            // Changes nothing: all children are being stopped anyway.
            Phase::Down | Phase::Stops { then: Then::Fail { .. } | Then::Down | Then::End, .. } => {
                return;
            }
        };
        self.settle(supervisor, moment);
    }

    /// Makes the parent of `key` give up after too many restarts: it stops its children, and then
    /// fails itself. If its own parent is the root, it ends. A child of the root ends alone.
    pub(super) fn give_up(&mut self, key: Key, culprit: ChildId, why: Why, moment: Moment) {
        let Some(parent) = self.slots.parent(key) else { return };
        if self.drains || parent == self.root {
            self.end_child(culprit, why, moment);
        } else if self.slots.parent(parent.0) == Some(self.root) {
            self.end_top(parent, culprit, why, moment);
        } else {
            self.halt(parent, Then::Fail { culprit });
            self.settle(parent, moment);
        }
    }

    /// Handles a failure that no restart, of the child or of a supervisor, can correct.
    pub(super) fn fail_for_good(&mut self, child: ChildId, why: Why, moment: Moment) {
        let mut above = Vec::new();
        above.extend(self.slots.parent(child.0));
        while let Some(parent) = above.last().and_then(|last| self.slots.parent(last.0)) {
            above.push(parent);
        }
        // The last one of `above` is the root; the one before it is the top supervisor.
        match above.len().checked_sub(2).map(|top| above[top]) {
            Some(top) if !self.drains => self.end_top(top, child, why, moment),
            _ => self.end_child(child, why, moment),
        }
    }

    fn end_top(&mut self, top: SupervisorId, culprit: ChildId, why: Why, moment: Moment) {
        match self.at_top {
            AtTop::Drain => self.end_child(culprit, why, moment),
            AtTop::Stop => {
                self.halt(top, Then::End);
                self.end_child(culprit, why, moment);
                if self.slots.supervisor(top).is_some() {
                    self.settle(top, moment);
                }
            }
        }
    }

    /// Makes a supervisor stop all of its children. `then` says what follows.
    fn halt(&mut self, supervisor: SupervisorId, then: Then) {
        let it = self.slots.supervisor_mut(supervisor);
        let (until, then) = match it.phase {
            // The owner has ended the supervisor, which is final.
            Phase::Stops { until, then: Then::End, .. } => (until, Then::End),
            Phase::Stops {
                until,
                then: Then::Start { .. } | Then::Fail { .. } | Then::Down,
                ..
            } => (until, then),
            Phase::Down | Phase::Up | Phase::Starts { .. } => (u64::MAX, then),
        };
        // Ending its children includes the children that are already stopped.
        let until = if then == Then::End { u64::MAX } else { until };
        it.phase = Phase::Stops { from: 0, until, then };
    }

    /// Continues to stop the children of a supervisor. When all are stopped, the children start
    /// again, or the waiting parent continues.
    pub(super) fn settle(&mut self, mut supervisor: SupervisorId, moment: Moment) {
        while let Some((from, then)) = self.stop_next(supervisor) {
            let (parent, order) = self.slots.place(supervisor.0);
            match then {
                Then::Start { at } => return self.start_from(supervisor, from, at),
                Then::Fail { culprit } => return self.fail(supervisor, culprit, moment),
                Then::Down => self.go_down(supervisor),
                Then::End => self.slots.remove(supervisor.0),
            }
            let Some(parent) = parent else { return };
            match self.slots.supervisor_mut(parent).phase {
                Phase::Stops { .. } => supervisor = parent,
                Phase::Starts { next, at } if next == order => {
                    return self.start_from(parent, next, at);
                }
                Phase::Down | Phase::Up | Phase::Starts { .. } => return,
            }
        }
    }

    /// Fails a supervisor that has stopped its children after too many restarts. Its parent
    /// restarts it.
    fn fail(&mut self, supervisor: SupervisorId, culprit: ChildId, moment: Moment) {
        let is_halted = self.is_halted(supervisor.0);
        self.go_down(supervisor);
        if is_halted {
            // Does not restart the supervisor: its parent is stopping it anyway.
            return;
        }
        let it = self.slots.supervisor_mut(supervisor);
        // The restart has no limit of its own: the parent has the limit.
        let restart = Restart { limit: u32::MAX, ..it.spec.restart };
        let pause = it.failures.pause(&restart, moment.now, moment.jitter).unwrap_or_default();
        self.restart(supervisor.0, culprit, pause, moment);
    }

    /// Stops the next child of a supervisor. When all are stopped, returns what follows, and the
    /// order of the first one that was stopped.
    fn stop_next(&mut self, supervisor: SupervisorId) -> Option<(u64, Then)> {
        loop {
            let it = self.slots.supervisor_mut(supervisor);
            let Phase::Stops { from, until, then } = it.phase else { return None };
            let mut last = it.children.range(..=until);
            let Some((&order, &key)) = last.next_back().filter(|(order, _)| **order >= from) else {
                return Some((from, then));
            };
            let ends = then == Then::End;
            let is_stopped = match self.slots.as_child(key) {
                Some(child) => self.stop_child(child, ends),
                None => self.stop_supervisor(SupervisorId(key), ends),
            };
            if !is_stopped {
                return None;
            }
            // Cannot overflow: orders begin at 1.
            let until = order - 1;
            self.slots.supervisor_mut(supervisor).phase = Phase::Stops { from, until, then };
        }
    }

    /// Stops a child. Returns whether it has no run; it is then removed if it `ends`.
    fn stop_child(&mut self, child: ChildId, ends: bool) -> bool {
        let Some(state) = self.state(child) else { return true };
        match state {
            State::Starting | State::Running => {
                self.set(child, State::Stopping);
                self.commands.push_back(Command::Stop { child });
                false
            }
            State::Stopping => false,
            State::Waiting | State::Told { .. } if ends => {
                self.slots.remove(child.0);
                self.commands.push_back(Command::End { child, why: Why::SupervisorEnded });
                true
            }
            State::Waiting | State::Told { .. } => {
                self.set(child, State::Waiting);
                true
            }
        }
    }

    /// Stops a supervisor. Returns whether none of its children has a run; it is then removed if it
    /// `ends`.
    fn stop_supervisor(&mut self, supervisor: SupervisorId, ends: bool) -> bool {
        if !ends && matches!(self.slots.supervisor_mut(supervisor).phase, Phase::Down) {
            return true;
        }
        self.halt(supervisor, if ends { Then::End } else { Then::Down });
        let Some((_, then)) = self.stop_next(supervisor) else { return false };
        match then {
            Then::End => self.slots.remove(supervisor.0),
            Then::Start { .. } | Then::Fail { .. } | Then::Down => self.go_down(supervisor),
        }
        true
    }

    /// Notes that no child of a supervisor has a run. If the supervisor is started again, its count
    /// of restarts begins at zero.
    fn go_down(&mut self, supervisor: SupervisorId) {
        let it = self.slots.supervisor_mut(supervisor);
        it.phase = Phase::Down;
        it.restarts = Failures::default();
    }
}
