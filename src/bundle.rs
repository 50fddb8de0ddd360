//! Runs the nodes of a topology as processes of one bundle: starts, watches, restarts and ends them as a whole.
//!
//! A launcher makes a [`Bundle`] of [`Member`]s and calls [`Bundle::run`], which returns when no member is left:
//!
//! - A member that exits with code 0 has completed. One that exits otherwise, or dies of a signal, has failed and is
//!   started again, with the pauses and limits of [`Restart`]. If the limit is exceeded, or the member says by
//!   [`Bundle::NO_RESTART`] that another start would fail in the same way, the bundle ends with an error.
//! - SIGINT or SIGTERM to the launcher, or [`Handle::stop`], ends the bundle: sources first, each member once all that
//!   feed it have exited. It gets SIGTERM, and SIGKILL if it is still there at the deadline. A second signal kills
//!   all at once.
//! - Each member leads a process group of its own, so that Ctrl-C reaches the launcher alone. Whatever a member leaves
//!   in its group goes with it, by SIGKILL. The run leaves no process behind, nor does a panic in it.
//! - The standard input of each process of a member is a pipe whose other end only the launcher holds.
//!   [`end_with_launcher`] reads it and belongs at the start of each member's `main`.
//! - The launcher writes to these pipes which process runs which member, which members have completed, and which were
//!   given up. A new process is told all of it before it starts. The nodes of a process use this: a node does not wait
//!   for one that has completed, and waits without limit to deliver to one that runs, or will run again. Names of
//!   members are names of nodes for this purpose.
//! - The launcher never waits for a member to read. A process that does not read loses lines once its pipe is full
//!   (64 KiB on Linux, some thousand lines); the next line that has room brings all that holds with it.
//! - A launcher that is killed can do nothing more. Its members see it by the end of their pipes.
//! - A member that exits with [`Bundle::UNDELIVERED`] has lost messages that it had accepted. The bundle ends with an
//!   error, as it does if a member fails while the bundle ends.
//!
//! ```no_run
//! use std::process::Command;
//!
//! use mycelium::bundle::{Bundle, Member};
//!
//! let report = Bundle::new()
//!     .member(Member::new("feed", || Command::new("./feed")))
//!     .member(Member::new("detector", || Command::new("./detector")).ends_after("feed"))
//!     .observe(|event| eprintln!("{event}"))
//!     .run()?;
//! for member in report.members {
//!     println!("{}: {:?} after {} starts", member.name, member.outcome, member.starts);
//! }
//! # Ok::<(), mycelium::bundle::BundleError>(())
//! ```
//!
//! `process` is one process and what kills it safely, `run` decides what happens to which, `order` says who ends after
//! whom, `lifeline` is the pipe to a process, and `report` is all that is said about it. `crate::members` is what a
//! process knows of the members.

mod lifeline;
mod order;
mod process;
mod report;
mod run;

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::supervision::Restart;

pub use lifeline::end_with_launcher;
pub use report::{BundleError, Event, MemberReport, Outcome, Report};

/// Longer than a node's own, so that a node can still say which of its services held it up.
const DEADLINE: Duration = Duration::from_secs(15);

/// The processes that are run together. See the [module](self).
pub struct Bundle {
    members: Vec<Member>,
    deadline: Duration,
    observer: Observer,
    handle: Handle,
    wakes: Receiver<Wake>,
}

type Observer = Box<dyn FnMut(&Event) + Send>;

/// What the run waits for.
#[derive(Clone, Copy, Debug)]
enum Wake {
    /// This member's process has exited and is to be reaped.
    Exited(usize),
    Interrupted,
    Stop,
}

impl Bundle {
    /// The exit code by which a member says that another start would fail in the same way: a topology that is wrong, a
    /// port that is not its own. It is 78, `EX_CONFIG` of `sysexits.h`.
    ///
    /// ```
    /// # use std::process::ExitCode;
    /// # use mycelium::bundle::Bundle;
    /// fn main() -> ExitCode {
    ///     match mycelium::Topology::parse("bandit.toml", "[node.main]") {
    ///         Ok(_topology) => ExitCode::SUCCESS,
    ///         Err(error) => {
    ///             eprintln!("{error}");
    ///             ExitCode::from(Bundle::NO_RESTART)
    ///         }
    ///     }
    /// }
    /// ```
    pub const NO_RESTART: u8 = 78;

    /// The exit code by which a member says that messages were lost with it: its node ended with
    /// [`StartError::Undelivered`](crate::StartError::Undelivered). The member prints which and how many; another start
    /// could not bring them. It is 74, `EX_IOERR` of `sysexits.h`.
    ///
    /// ```
    /// # use std::process::ExitCode;
    /// # use mycelium::bundle::Bundle;
    /// # use mycelium::{Report, StartError};
    /// fn exit_code(ended: Result<Report, StartError>) -> ExitCode {
    ///     match ended {
    ///         Ok(_report) => ExitCode::SUCCESS,
    ///         Err(error) => {
    ///             eprintln!("{error}");
    ///             match error {
    ///                 StartError::Undelivered { .. } => ExitCode::from(Bundle::UNDELIVERED),
    ///                 _ => ExitCode::FAILURE,
    ///             }
    ///         }
    ///     }
    /// }
    /// ```
    pub const UNDELIVERED: u8 = 74;

    /// A bundle without members.
    #[must_use]
    pub fn new() -> Bundle {
        let (sender, wakes) = channel();
        Bundle {
            members: Vec::new(),
            deadline: DEADLINE,
            observer: Box::new(|_| ()),
            handle: Handle { sender, pids: Pids::default() },
            wakes,
        }
    }

    /// Adds a member. Members are started in the order in which they were added.
    #[must_use]
    pub fn member(mut self, member: Member) -> Bundle {
        self.members.push(member);
        self
    }

    /// How long each member has from SIGTERM to SIGKILL: 15 s unless said otherwise. It should be more than the
    /// members' own deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Bundle {
        self.deadline = deadline;
        self
    }

    /// Calls `observer` with all that happens, on the thread that runs the bundle: it should not block. Members are
    /// killed if it panics.
    #[must_use]
    pub fn observe(mut self, observer: impl FnMut(&Event) + Send + 'static) -> Bundle {
        self.observer = Box::new(observer);
        self
    }

    /// What other threads can do to the bundle while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Starts the members and blocks until none is left.
    ///
    /// SIGINT and SIGTERM end the bundle; from then on they no longer end the launcher itself, not even after this has
    /// returned.
    ///
    /// # Errors
    /// If the members do not fit together (nothing was started then), one could not be started, failed for good or
    /// while the bundle ended, could not deliver its messages, or had to be killed. The first cause counts. No member is
    /// left in any case.
    pub fn run(self) -> Result<Report, BundleError> {
        run::run(self)
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
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// One process of a bundle, and how it is started again.
pub struct Member {
    name: String,
    command: Box<dyn FnMut() -> Command + Send>,
    feeders: Vec<String>,
    restart: Restart,
}

impl Member {
    /// A member that is started by what `command` returns each time. Its standard input and process group are the
    /// bundle's to set; all else is the command's. The name has 1 to 62 bytes, and no white space or control
    /// characters.
    #[must_use]
    pub fn new(name: &str, command: impl FnMut() -> Command + Send + 'static) -> Member {
        Member {
            name: name.to_owned(),
            command: Box::new(command),
            feeders: Vec::new(),
            restart: Restart::default(),
        }
    }

    /// Says that `feeder`, another member, sends to this one: when the bundle ends, this one is asked to stop once
    /// `feeder` has exited. Members that feed each other in a circle are asked together.
    #[must_use]
    pub fn ends_after(mut self, feeder: &str) -> Member {
        self.feeders.push(feeder.to_owned());
        self
    }

    /// When and how often it is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Member {
        self.restart = restart;
        self
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .field("feeders", &self.feeders)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

/// Reaches a bundle from another thread.
#[derive(Clone, Debug)]
pub struct Handle {
    sender: Sender<Wake>,
    pids: Pids,
}

impl Handle {
    /// Asks the bundle to end in order. Asking again changes nothing, nor does asking after its end. A bundle that has
    /// not begun starts nothing.
    pub fn stop(&self) {
        // Without a receiver there is nothing left to stop.
        let _ = self.sender.send(Wake::Stop);
    }

    /// The process id of a member, if it runs. It may have exited when the caller uses it.
    #[must_use]
    pub fn pid(&self, member: &str) -> Option<u32> {
        self.pids.lock().get(member).copied()
    }
}

#[derive(Clone, Debug, Default)]
struct Pids(Arc<Mutex<BTreeMap<String, u32>>>);

impl Pids {
    fn set(&self, member: &str, pid: Option<u32>) {
        match pid {
            Some(pid) => self.lock().insert(member.to_owned(), pid),
            None => self.lock().remove(member),
        };
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
