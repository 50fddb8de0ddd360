//! The reports of a bundle: events and the status of members while it runs, a report of its end,
//! and the errors.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

use crate::protocol;

/// An event of a member. `Display` formats it as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleEvent {
    /// The process of a member runs.
    Started {
        /// The member.
        member: String,
        /// The process id of the member.
        pid: u32,
    },
    /// A member could not be started.
    NotStarted {
        /// The member.
        member: String,
        /// The program, and the error of the system.
        error: String,
    },
    /// The process of a member has exited.
    Exited {
        /// The member.
        member: String,
        /// How the process exited.
        status: ExitStatus,
    },
    /// A member failed and will be started again.
    Restarting {
        /// The member.
        member: String,
        /// The pause before the next start.
        pause: Duration,
    },
    /// A member failed permanently. The bundle ends.
    GivenUp {
        /// The member.
        member: String,
    },
    /// A member gets SIGTERM.
    Stopping {
        /// The member.
        member: String,
    },
    /// A member was killed, because of the deadline or a second signal.
    Killed {
        /// The member.
        member: String,
    },
}

impl BundleEvent {
    /// Returns the name of the member.
    #[must_use]
    pub fn member(&self) -> &str {
        match self {
            BundleEvent::Started { member, .. }
            | BundleEvent::NotStarted { member, .. }
            | BundleEvent::Exited { member, .. }
            | BundleEvent::Restarting { member, .. }
            | BundleEvent::GivenUp { member }
            | BundleEvent::Stopping { member }
            | BundleEvent::Killed { member } => member,
        }
    }

    /// Returns what happened to the member, as the predicate of a sentence.
    pub(crate) fn predicate(&self) -> String {
        match self {
            BundleEvent::Started { pid, .. } => format!("started as process {pid}"),
            BundleEvent::NotStarted { error, .. } => format!("did not start: {error}"),
            BundleEvent::Exited { status, .. } => format!("exited, {status}"),
            BundleEvent::Restarting { pause, .. } => format!("will be restarted in {pause:.1?}"),
            BundleEvent::GivenUp { .. } => "failed permanently".to_owned(),
            BundleEvent::Stopping { .. } => "was sent SIGTERM".to_owned(),
            BundleEvent::Killed { .. } => "did not end and was killed".to_owned(),
        }
    }
}

impl fmt::Display for BundleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member(), self.predicate())
    }
}

/// The result of a bundle that ended without an error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BundleReport {
    /// The members, in the order in which they were added. The phase of each is
    /// [`Completed`](MemberPhase::Completed) or [`Stopped`](MemberPhase::Stopped).
    pub members: Vec<MemberStatus>,
    /// Whether a signal or [`BundleHandle::stop`](crate::BundleHandle::stop) ended the bundle while
    /// members were running. They may not have finished their work, although each exited with code
    /// 0.
    pub stopped: bool,
}

/// Why a bundle failed.
#[derive(Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Two members have one name.
    #[error("two members are called `{member}`: give one of them another name [{code}]", code = self.code())]
    Duplicate {
        /// The name.
        member: String,
    },
    /// A member has a feeder that does not exist.
    #[error(
        "member `{member}` ends after `{feeder}`, which is not a member; expected one of: {} [{code}]", known.join(", "),
        code = self.code()
    )]
    Unknown {
        /// The member.
        member: String,
        /// The unknown feeder.
        feeder: String,
        /// The members of the bundle.
        known: Vec<String>,
    },
    /// A member could not be started.
    #[error(
        "member `{member}` did not start: cannot run `{}`: {error} [{code}]", Path::new(program).display(),
        code = self.code()
    )]
    Start {
        /// The member.
        member: String,
        /// The program of the member.
        program: OsString,
        /// The error of the system.
        #[source]
        error: io::Error,
    },
    /// A member failed more often than its limit.
    #[error(
        "member `{member}` failed permanently{}: {status} [{code}]", after(*restarts, *window),
        code = self.code()
    )]
    Failed {
        /// The member.
        member: String,
        /// How the member's last process exited.
        status: ExitStatus,
        /// How often the member was restarted within the window.
        restarts: u32,
        /// The window.
        window: Duration,
    },
    /// A member exited with [`Bundle::NO_RESTART`](crate::Bundle::NO_RESTART).
    #[error(
        "member `{member}` does not want to be restarted (exit code {exit}): see its own output [{code}]",
        exit = protocol::NO_RESTART,
        code = self.code()
    )]
    Refused {
        /// The member.
        member: String,
    },
    /// A member exited with [`Bundle::UNDELIVERED`](crate::Bundle::UNDELIVERED).
    #[error(
        "member `{member}` ended with messages that it could not deliver (exit code {exit}): see its own output [{code}]",
        exit = protocol::UNDELIVERED,
        code = self.code()
    )]
    Undelivered {
        /// The member.
        member: String,
    },
    /// A member failed while the bundle ended.
    #[error("member `{member}` failed while the bundle ended: {status} [{code}]", code = self.code())]
    Stopped {
        /// The member.
        member: String,
        /// How the process exited.
        status: ExitStatus,
    },
    /// The name of a member is empty, longer than 62 bytes, or has white space or control
    /// characters.
    #[error(
        "invalid member name `{}`: expected 1 to 62 bytes without white space and control characters [{code}]",
        member.escape_debug(),
        code = self.code()
    )]
    Name {
        /// The name.
        member: String,
    },
    /// Members were killed, because they had not ended at their deadline or at a second signal.
    #[error("members did not end and were killed: {} [{code}]", members.join(", "), code = self.code())]
    Killed {
        /// The names of the members.
        members: Vec<String>,
    },
    /// The system refused signals, a pipe or a thread for the launcher itself.
    #[error(
        "the launcher cannot watch its members: the system refused signals, a pipe or a thread: {0} [{code}]",
        code = self.code()
    )]
    System(#[from] io::Error),
}

impl BundleError {
    /// Returns the code with which the text of the error ends.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            BundleError::Duplicate { .. } => Code::MEMBER_TWICE,
            BundleError::Unknown { .. } => Code::MEMBER_UNKNOWN,
            BundleError::Start { .. } => Code::MEMBER_PROGRAM,
            BundleError::Failed { .. } => Code::MEMBER_FAILED,
            BundleError::Refused { .. } => Code::MEMBER_REFUSED,
            BundleError::Undelivered { .. } => Code::MEMBER_UNDELIVERED,
            BundleError::Stopped { .. } => Code::MEMBER_STOPPED,
            BundleError::Name { .. } => Code::MEMBER_NAME,
            BundleError::Killed { .. } => Code::MEMBER_KILLED,
            BundleError::System(_) => Code::LAUNCHER,
        }
    }
}

// Formats the text, because `main` and `unwrap` print errors by `Debug`.
debug_as_display!(BundleError, ChangeError);

fn after(restarts: u32, window: Duration) -> String {
    match restarts {
        0 => String::new(),
        _ => format!(" after {restarts} restarts within {window:?}"),
    }
}

/// Why the members of a bundle could not be changed.
#[derive(Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such member to remove or to replace.
    #[error(
        "the bundle has no member `{member}`; its members are: {} [{code}]", known.join(", "),
        code = self.code()
    )]
    NoMember {
        /// The name.
        member: String,
        /// The members of the bundle.
        known: Vec<String>,
    },
    /// The members are invalid with these changes.
    #[error(transparent)]
    Misfit(#[from] BundleError),
    /// The bundle is ending, or has ended.
    #[error(
        "the bundle has ended, or is about to: its members can no longer be changed [{code}]",
        code = self.code()
    )]
    Ended,
    /// The bundle's observer tried to change the bundle.
    #[error(
        "the observer of a bundle cannot change it: call this from another thread [{code}]",
        code = self.code()
    )]
    InObserver,
}

impl ChangeError {
    /// Returns the code at the end of the error's text. If the members are invalid, it is the code
    /// of the reason.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            ChangeError::NoMember { .. } => Code::NO_MEMBER,
            ChangeError::Misfit(error) => error.code(),
            ChangeError::Ended => Code::BUNDLE_ENDED,
            ChangeError::InObserver => Code::BUNDLE_OBSERVER,
        }
    }
}

/// The state of a member while the bundle runs
/// ([`BundleHandle::members`](crate::BundleHandle::members)) or after its end ([`BundleReport`]).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemberStatus {
    /// The name of the member.
    pub name: String,
    /// The current phase of the member.
    pub phase: MemberPhase,
    /// The id of the member's process, if one runs. The process may have exited since.
    pub pid: Option<u32>,
    /// The number of starts since the member was added or replaced another member.
    pub starts: u64,
    /// When the member entered this phase.
    pub since: Instant,
    /// Whether a change of the bundle is ending its process, because the member is removed or
    /// replaced.
    pub is_leaving: bool,
    /// How the member's last process exited, if one has.
    pub last_exit: Option<ExitStatus>,
}

/// The current phase of a member of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberPhase {
    /// No process runs the member, but one will, at its first start or after the pause before a
    /// restart.
    Waiting,
    /// A process runs the member.
    Running,
    /// The member's process got SIGTERM or SIGKILL and has not exited yet.
    Stopping,
    /// The member has exited with code 0.
    Completed,
    /// The member failed permanently, or ended with the bundle, either with another code than 0 or
    /// while it was not running.
    Stopped,
}

impl MemberPhase {
    /// Returns the name: `waiting`, `running`, `stopping`, `completed` or `stopped`.
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
