//! The *slot* of a run: a member and its process.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::launcher::handle::MemberId;
use crate::launcher::member::Member;
use crate::launcher::pipe::MemberPipe;
use crate::launcher::process::Process;
use crate::launcher::report::{MemberPhase, MemberStatus};
use crate::protocol::MemberState;
use crate::restart::Failures;

/// A member and its process.
pub(super) struct Slot {
    pub(super) member: Member,
    /// The members that must exit before this one gets SIGTERM.
    pub(super) waits_for: Vec<MemberId>,
    pub(super) state: State,
    pub(super) failures: Failures,
    pub(super) starts: u64,
    pub(super) status: Option<ExitStatus>,
    /// The step after the exit of the member's process.
    pub(super) next: Next,
    /// The phase and the process that other threads see, with the time of the last change.
    published: Option<(MemberPhase, Option<u32>, Instant)>,
}

pub(super) enum State {
    /// The member will be started.
    Waiting {
        until: Duration,
    },
    Running {
        process: Process,
        stop: StopRequest,
        /// Dropped after the process: otherwise the process would take the end of the pipe for the
        /// end of the launcher.
        pipe: MemberPipe,
    },
    Completed,
    /// The member failed permanently, or ended with the bundle.
    Stopped,
}

/// Whether and how a process was told to end.
#[derive(Clone, Copy)]
pub(super) enum StopRequest {
    No,
    /// The process got SIGTERM, and must exit before this time.
    Term {
        until: Duration,
    },
    Kill,
}

/// The step after the exit of a member's process.
pub(super) enum Next {
    /// The exit code decides what happens to the member.
    Same,
    /// The member is removed from the bundle.
    Nothing,
    /// This member starts in place of the old one.
    Other(Member),
}

impl Slot {
    /// Creates the slot of a member that will be started.
    pub(super) fn new(member: Member) -> Slot {
        Slot {
            member,
            waits_for: Vec::new(),
            state: State::Waiting { until: Duration::ZERO },
            failures: Failures::default(),
            starts: 0,
            status: None,
            next: Next::Same,
            published: None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Completed | State::Stopped)
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Returns whether a change of the bundle ends the process of the member.
    pub(super) fn is_leaving(&self) -> bool {
        !matches!(self.next, Next::Same)
    }

    /// Returns the member of this slot, or the member that a change will put here. Returns `None`
    /// if the change removes it.
    pub(super) fn future(&self) -> Option<&Member> {
        match &self.next {
            Next::Same => Some(&self.member),
            Next::Other(member) => Some(member),
            Next::Nothing => None,
        }
    }

    pub(super) fn future_mut(&mut self) -> &mut Member {
        match &mut self.next {
            Next::Other(member) => member,
            Next::Same | Next::Nothing => &mut self.member,
        }
    }

    /// Returns the state of the member as the launcher writes it to the members.
    pub(super) fn reported(&self) -> MemberState {
        match &self.state {
            State::Waiting { .. } => MemberState::Expected,
            State::Running { process, .. } => MemberState::Running(process.pid()),
            State::Completed => MemberState::Completed,
            State::Stopped => MemberState::Gone,
        }
    }

    /// Returns the state of the member as other threads see it.
    pub(super) fn published(&mut self, now: Instant) -> MemberStatus {
        let (phase, pid) = match &self.state {
            State::Waiting { .. } => (MemberPhase::Waiting, None),
            State::Running { process, stop: StopRequest::No, .. } => {
                (MemberPhase::Running, Some(process.pid()))
            }
            State::Running { process, .. } => (MemberPhase::Stopping, Some(process.pid())),
            State::Completed => (MemberPhase::Completed, None),
            State::Stopped => (MemberPhase::Stopped, None),
        };
        let since = match self.published {
            Some((before, process, since)) if (before, process) == (phase, pid) => since,
            _ => now,
        };
        self.published = Some((phase, pid, since));
        let (name, is_leaving) = (self.member.name.clone(), self.is_leaving());
        let (starts, last_exit) = (self.starts, self.status);
        MemberStatus { name, phase, pid, starts, since, is_leaving, last_exit }
    }
}
