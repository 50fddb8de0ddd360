//! How a member of a bundle is at a moment.

use std::fmt;
use std::process::ExitStatus;
use std::time::Instant;

/// How a member is. [`BundleHandle::members`](crate::BundleHandle::members) returns it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    pub phase: MemberPhase,
    /// Its process, if one runs. It may have exited meanwhile.
    pub pid: Option<u32>,
    /// How often it was started, since it was added to the bundle or replaced another.
    pub starts: u64,
    /// When it entered this phase.
    pub since: Instant,
    /// A change of the bundle ends its process, and has not ended it yet: it is taken out, or
    /// another member takes its place.
    pub is_leaving: bool,
    /// How its last process exited, if one has.
    pub last_exit: Option<ExitStatus>,
}

/// What a member of a bundle does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberPhase {
    /// No process runs it, and one will: at its first start, or after the pause before a restart.
    Waiting,
    /// A process runs it.
    Running,
    /// Its process got SIGTERM or SIGKILL and has not exited yet.
    Stopping,
    /// It has exited with code 0.
    Completed,
    /// It failed permanently, or ended with the bundle.
    Stopped,
}

impl MemberPhase {
    /// Its name: `waiting`, `running`, `stopping`, `completed` or `stopped`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            MemberPhase::Waiting => "waiting",
            MemberPhase::Running => "running",
            MemberPhase::Stopping => "stopping",
            MemberPhase::Completed => "completed",
            MemberPhase::Stopped => "stopped",
        }
    }
}

impl fmt::Display for MemberPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
