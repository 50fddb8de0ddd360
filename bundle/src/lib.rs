//! Runs several commands as one bundle: starts, watches, restarts and ends them together.
//!
//! A launcher creates a [`Bundle`] of [`Member`]s and calls [`Bundle::run`], which returns when all
//! members have ended:
//!
//! - A member that exits with code 0 has completed. A member that exits with another code, or dies
//!   of a signal, has failed and is started again, with the pauses and limits of [`Restart`]. A
//!   member that shuts down because it gets SIGTERM from elsewhere also exits with code 0. If the
//!   limit is exceeded, or the member exits with [`Bundle::NO_RESTART`], the bundle ends with an
//!   error.
//! - SIGINT, SIGTERM or SIGHUP to the launcher, or [`BundleHandle::stop`], ends the bundle: sources
//!   first, and each member after all members that feed it have exited. A member gets SIGTERM, and
//!   SIGKILL if it still runs at the deadline. A member in the pause before its restart starts at
//!   once if a member that feeds it, and is in no cycle with it, still runs; if it fails again, the
//!   bundle ends with an error. A second signal to the launcher, at least a tenth of a second
//!   later, kills all members at once.
//! - Each member leads its own process group, so that Ctrl-C reaches only the launcher. Processes
//!   that a member leaves in its group are killed when it exits. The run leaves no process behind,
//!   even if it panics.
//! - The standard input of each member's process is a pipe. Only the launcher has its other end, so
//!   the end of the pipe tells a member that its launcher is gone. In a member that runs a node,
//!   `mycelium::execution::end_with_launcher` reads it.
//! - The launcher writes to these pipes which process runs which member, which members have
//!   completed, and which have failed permanently ([`protocol`]). A new process finds all of this
//!   in its pipe when it starts. For this purpose a member has the name of its node: a node does
//!   not wait for a node that has completed, and waits without limit to deliver to a node that runs
//!   or will run again.
//! - The launcher never waits for a member to read. If a process does not read, lines are lost once
//!   its pipe is full (64 KiB on Linux, some thousand lines). After a loss, the next write that
//!   fits has the states of all members.
//! - [`BundleHandle::change`] adds, removes and replaces members while the bundle runs, and
//!   [`BundleHandle::members`] returns their states.
//! - A member that exits with [`Bundle::UNDELIVERED`] has lost messages that it had accepted. The
//!   bundle ends with an error, as it does if a member fails while the bundle ends.
//!
//! ```no_run
//! use std::process::Command;
//!
//! use mycelium_bundle::{Bundle, Member};
//!
//! let report = Bundle::new()
//!     .member(Member::new("feed", || Command::new("./feed")))
//!     .member(Member::new("detector", || Command::new("./detector")).ends_after("feed"))
//!     .observe(|event| eprintln!("{event}"))
//!     .run()?;
//! for member in report.members {
//!     println!("{}: {} after {} starts", member.name, member.phase, member.starts);
//! }
//! # Ok::<(), mycelium_bundle::BundleError>(())
//! ```
//!
//! This crate does not depend on nodes: a member is a command. Both the launcher and its members
//! use [`protocol`] and `restart`; a node needs only these two. The feature `launcher` enables the
//! module `launcher`.
#![forbid(unsafe_code)]

#[cfg(all(unix, feature = "launcher"))]
mod launcher;
pub mod protocol;
mod restart;

#[cfg(all(unix, feature = "launcher"))]
pub use launcher::{
    Bundle,
    handle::BundleHandle,
    member::{Change, Member},
    report::{BundleError, BundleEvent, BundleReport, ChangeError, MemberPhase, MemberStatus},
};
#[cfg(all(unix, feature = "launcher"))]
#[doc(hidden)]
pub use launcher::{process::Process, signals::ignores_hangup};
pub use restart::{Failures, Restart};
