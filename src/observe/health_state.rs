//! The states of the health of a node or a service.

use std::fmt;

/// The state of a node or a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HealthState {
    /// A service: its first run has not begun. A node: not all services have started, or it has not
    /// connected with the nodes that it has links with.
    Starting,
    /// The node or service works.
    Ready,
    /// The node or service works, but with a problem: see
    /// [`HealthCause`](crate::observe::HealthCause).
    Degraded,
    /// A service: its last run failed, or its supervisor has stopped it because another service
    /// failed, and the pause before the next run has not ended. A node: all its services that have
    /// not stopped back off.
    BackingOff,
    /// A service: it has ended permanently, or was abandoned. A node: it drains, or has ended.
    Stopped,
}

impl HealthState {
    /// All states.
    pub const ALL: [HealthState; 5] = [
        HealthState::Starting,
        HealthState::Ready,
        HealthState::Degraded,
        HealthState::BackingOff,
        HealthState::Stopped,
    ];

    /// Returns the name of the state: `starting`, `ready`, `degraded`, `backing-off` or `stopped`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            HealthState::Starting => "starting",
            HealthState::Ready => "ready",
            HealthState::Degraded => "degraded",
            HealthState::BackingOff => "backing-off",
            HealthState::Stopped => "stopped",
        }
    }

    /// Returns the state of a supervisor whose children have these states. See
    /// [`Health::supervisor`](crate::observe::Health::supervisor).
    pub(crate) fn together(states: impl IntoIterator<Item = HealthState>) -> HealthState {
        let (mut seen, mut all) = ([false; 5], 0);
        for state in states {
            seen[state as usize] = true;
            all += usize::from(state != HealthState::Stopped);
        }
        let has = |state: HealthState| seen[state as usize];
        if all == 0 {
            HealthState::Stopped
        } else if has(HealthState::Starting) {
            HealthState::Starting
        } else if has(HealthState::Degraded)
            || has(HealthState::Ready) && has(HealthState::BackingOff)
        {
            HealthState::Degraded
        } else if has(HealthState::BackingOff) {
            HealthState::BackingOff
        } else {
            HealthState::Ready
        }
    }
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
