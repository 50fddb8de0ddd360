//! How the children of a supervisor are, together.

use super::kinds::{ChildId, State, SupervisorId};
use super::{Child, Tree};
use crate::observe::health_state::HealthState;

impl Tree {
    /// What the children below a supervisor, and below its supervisors, have together. One that has
    /// no children is ready for some; one that has ended is stopped.
    pub(crate) fn health(&self, supervisor: SupervisorId) -> HealthState {
        let Some(it) = self.slots.supervisor(supervisor) else { return HealthState::Stopped };
        if it.children.is_empty() {
            return HealthState::Ready;
        }
        HealthState::together(it.children.values().map(
            |key| match self.slots.child(ChildId(*key)) {
                Some(child) => child.health(),
                None => self.health(SupervisorId(*key)),
            },
        ))
    }
}

impl Child {
    fn health(&self) -> HealthState {
        match self.state {
            State::Running => HealthState::Ready,
            State::Waiting | State::Told { .. } | State::Starting | State::Stopping => {
                match self.has_started {
                    true => HealthState::BackingOff,
                    false => HealthState::Starting,
                }
            }
        }
    }
}
