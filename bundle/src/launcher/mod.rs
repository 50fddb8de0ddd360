//! The launcher: a [`Bundle`] of members, and its run.
//!
//! From the bottom up: `process` starts one process and kills it safely, `pipe` is the pipe to it,
//! `member` is a command with its rules, `report` has the events and errors, `order` decides which
//! member ends after which, `handle` controls a run from other threads, `signals` forwards signals
//! to a run, and `run` decides what happens to each member and when. The launcher uses `protocol`
//! and `restart`.

pub(crate) mod handle;
pub(crate) mod member;
mod order;
mod pipe;
pub(crate) mod process;
pub(crate) mod report;
mod run;
pub(crate) mod signals;

use std::fmt;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::protocol;
use handle::{BundleHandle, Wake};
use member::Member;
use report::{BundleError, BundleEvent, BundleReport};
use run::{Run, Settings};

/// The default time from SIGTERM to SIGKILL. It exceeds the deadline of a node, so that a node can
/// still report which of its services did not end.
const DEADLINE: Duration = Duration::from_secs(15);

/// Commands that run together as processes. See the page of the [`crate`].
pub struct Bundle {
    members: Vec<Member>,
    settings: Settings,
    handle: BundleHandle,
    wakes: Receiver<Wake>,
}

impl Bundle {
    /// The exit code of a member for which another start would fail in the same way, because a
    /// topology is wrong or an argument is missing. It is 78, `EX_CONFIG` of `sysexits.h`.
    ///
    /// ```
    /// # use std::process::ExitCode;
    /// # use mycelium_bundle::Bundle;
    /// fn main() -> ExitCode {
    ///     match std::env::current_dir() {
    ///         Ok(_directory) => ExitCode::SUCCESS,
    ///         Err(error) => {
    ///             eprintln!("{error}");
    ///             ExitCode::from(Bundle::NO_RESTART)
    ///         }
    ///     }
    /// }
    /// ```
    pub const NO_RESTART: u8 = protocol::NO_RESTART;

    /// The exit code of a member that has lost messages, which another start could not bring back.
    /// A member that runs a node exits with it if the node ends with `StartError::Undelivered`. It
    /// is 74, `EX_IOERR` of `sysexits.h`.
    pub const UNDELIVERED: u8 = protocol::UNDELIVERED;

    /// Creates a bundle without members.
    #[must_use]
    pub fn new() -> Bundle {
        let (sender, wakes) = channel();
        Bundle {
            members: Vec::new(),
            settings: Settings { deadline: DEADLINE, observer: None, ends_at_hangup: true },
            handle: BundleHandle::new(sender),
            wakes,
        }
    }

    /// Adds a member. Members start in the order in which they were added.
    #[must_use]
    pub fn member(mut self, member: Member) -> Bundle {
        self.members.push(member);
        self
    }

    /// Sets the time from SIGTERM to SIGKILL of each member; 15 s by default. It should exceed the
    /// members' own deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Bundle {
        self.settings.deadline = deadline;
        self
    }

    /// Calls `observer` with each event, on the thread that runs the bundle, so it should not
    /// block. If it panics, the members are killed.
    ///
    /// Events are also logged by `tracing`. Without an observer and without a `tracing` subscriber,
    /// failures are printed to standard error.
    #[must_use]
    pub fn observe(mut self, observer: impl FnMut(&BundleEvent) + Send + 'static) -> Bundle {
        self.settings.observer = Some(Box::new(observer));
        self
    }

    /// Does not handle SIGHUP, so that the program can, for example to reload its files. Without
    /// this call, SIGHUP ends the bundle as SIGTERM does, unless the program ignores SIGHUP, as
    /// under `nohup`.
    #[must_use]
    pub fn ignore_hangup(mut self) -> Bundle {
        self.settings.ends_at_hangup = false;
        self
    }

    /// Returns a handle by which other threads control the running bundle.
    #[must_use]
    pub fn handle(&self) -> BundleHandle {
        self.handle.clone()
    }

    /// Starts the members and blocks until all have ended.
    ///
    /// SIGINT, SIGTERM and SIGHUP end the bundle. From this call on they no longer end the launcher
    /// itself, not even after `run` has returned.
    ///
    /// # Errors
    /// If the members are invalid (then no process was started), or if a member could not be
    /// started, failed permanently, failed while the bundle ended, could not deliver its messages,
    /// or had to be killed. The first cause is returned. In each case all members have ended.
    pub fn run(self) -> Result<BundleReport, BundleError> {
        let Bundle { members, settings, handle, wakes } = self;
        Run::new(members, settings, handle, wakes)?.until_all_have_ended()
    }
}

impl Default for Bundle {
    fn default() -> Bundle {
        Bundle::new()
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("members", &self.members)
            .field("deadline", &self.settings.deadline)
            .finish_non_exhaustive()
    }
}
