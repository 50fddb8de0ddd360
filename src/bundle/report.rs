//! What is said about a bundle: while it runs, when it has ended, and why it failed.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

/// Something that happened to a member. `Display` makes a line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Its process runs.
    Started {
        /// The member.
        member: String,
        /// Its process id.
        pid: u32,
    },
    /// It could not be started.
    NotStarted {
        /// The member.
        member: String,
        /// What the system says.
        error: String,
    },
    /// Its process is gone.
    Exited {
        /// The member.
        member: String,
        /// How it exited.
        status: ExitStatus,
    },
    /// It failed and will be started again.
    Restarting {
        /// The member.
        member: String,
        /// How long from now.
        pause: Duration,
    },
    /// It failed for good. The bundle ends.
    GivenUp {
        /// The member.
        member: String,
    },
    /// It was asked to end.
    Stopping {
        /// The member.
        member: String,
    },
    /// It was killed: it had not ended at the deadline, or there was a second signal.
    Killed {
        /// The member.
        member: String,
    },
}

impl Event {
    /// The name of the member.
    #[must_use]
    pub fn member(&self) -> &str {
        match self {
            Event::Started { member, .. }
            | Event::NotStarted { member, .. }
            | Event::Exited { member, .. }
            | Event::Restarting { member, .. }
            | Event::GivenUp { member }
            | Event::Stopping { member }
            | Event::Killed { member } => member,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.member())?;
        match self {
            Event::Started { pid, .. } => write!(f, "started as process {pid}"),
            Event::NotStarted { error, .. } => write!(f, "did not start: {error}"),
            Event::Exited { status, .. } => write!(f, "exited, {status}"),
            Event::Restarting { pause, .. } => write!(f, "will be restarted in {pause:.1?}"),
            Event::GivenUp { .. } => f.write_str("failed for good"),
            Event::Stopping { .. } => f.write_str("was asked to end"),
            Event::Killed { .. } => f.write_str("had not ended and was killed"),
        }
    }
}

/// How a bundle ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Its members, in the order in which they were added.
    pub members: Vec<MemberReport>,
    /// The bundle was asked to end, by a signal or by [`Handle::stop`](super::Handle::stop), while members had still to
    /// end: they may have had more to do, though each exited with code 0.
    pub stopped: bool,
}

/// How a member ended, and what it went through.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemberReport {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was started.
    pub starts: u64,
    /// How its last process exited, if there was one.
    pub status: Option<ExitStatus>,
}

/// How a member ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It exited with code 0.
    Completed,
    /// It ended with the bundle, otherwise than with code 0, or was not running then.
    Stopped,
}

/// Why a bundle failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum BundleError {
    /// Two members have one name.
    Duplicate {
        /// The name.
        member: String,
    },
    /// A member ends after one that there is not.
    Unknown {
        /// The member.
        member: String,
        /// After whom it should end.
        feeder: String,
        /// The members that there are.
        known: Vec<String>,
    },
    /// A member could not be started.
    Start {
        /// The member.
        member: String,
        /// Its program.
        program: OsString,
        /// What the system says.
        error: io::Error,
    },
    /// A member failed more often than it may.
    Failed {
        /// The member.
        member: String,
        /// How it exited at last.
        status: ExitStatus,
        /// How often it had been restarted within its window.
        restarts: u32,
        /// The window.
        window: Duration,
    },
    /// A member exited with [`Bundle::NO_RESTART`](super::Bundle::NO_RESTART).
    Refused {
        /// The member.
        member: String,
    },
    /// A member exited with [`Bundle::UNDELIVERED`](super::Bundle::UNDELIVERED).
    Undelivered {
        /// The member.
        member: String,
    },
    /// A member failed while the bundle ended.
    Stopped {
        /// The member.
        member: String,
        /// How it exited.
        status: ExitStatus,
    },
    /// The name of a member is empty, longer than 62 bytes, or has white space or control characters.
    Name {
        /// The name.
        member: String,
    },
    /// Members had not ended at their deadline, or at a second signal, and were killed.
    Killed {
        /// Their names.
        members: Vec<String>,
    },
    /// The launcher itself lacks something: signals, a pipe, a process to wait for.
    System(io::Error),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BundleError::Duplicate { member } => {
                write!(f, "there are two members `{member}`")
            }
            BundleError::Unknown { member, feeder, known } => write!(
                f,
                "member `{member}` ends after `{feeder}`, which there is not; expected one of: {}",
                known.join(", ")
            ),
            BundleError::Start { member, program, error } => write!(
                f,
                "member `{member}` did not start: cannot run `{}`: {error}",
                Path::new(program).display()
            ),
            BundleError::Failed { member, status, restarts: 0, .. } => {
                write!(f, "member `{member}` failed for good: {status}")
            }
            BundleError::Failed { member, status, restarts, window } => write!(
                f,
                "member `{member}` failed for good after {restarts} restarts within {window:?}: {status}"
            ),
            BundleError::Refused { member } => write!(
                f,
                "member `{member}` cannot run as it is set up (exit code {}): see what it said",
                super::Bundle::NO_RESTART
            ),
            BundleError::Undelivered { member } => write!(
                f,
                "member `{member}` ended with messages that it could not deliver (exit code {}): \
                 see what it said",
                super::Bundle::UNDELIVERED
            ),
            BundleError::Stopped { member, status } => {
                write!(f, "member `{member}` failed while the bundle ended: {status}")
            }
            BundleError::Name { member } => write!(
                f,
                "`{}` cannot be the name of a member: expected 1 to 62 bytes without white space \
                 and control characters",
                member.escape_debug()
            ),
            BundleError::Killed { members } => {
                write!(f, "had not ended and were killed: {}", members.join(", "))
            }
            BundleError::System(error) => {
                write!(f, "the launcher cannot watch its members: {error}")
            }
        }
    }
}

impl std::error::Error for BundleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BundleError::Start { error, .. } | BundleError::System(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for BundleError {
    fn from(error: io::Error) -> BundleError {
        BundleError::System(error)
    }
}
