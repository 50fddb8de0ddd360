//! The health of a supervisor, computed from its children.

use super::kinds::{ChildId, State, SupervisorId};
use super::{Child, Tree};
use crate::observe::health_state::HealthState;

impl Tree {
    /// Returns the health of a supervisor, computed from all children below it, at any depth. A
    /// supervisor without children is ready; an ended one is stopped.
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
