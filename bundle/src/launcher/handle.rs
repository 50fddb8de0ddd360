//! The handle by which other threads reach a bundle that runs: it wakes the bundle's thread,
//! changes its members, and reads their states.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::member::{Change, Member};
use super::report::{ChangeError, MemberStatus};

/// Identifies a member of a run. An id is never used again, not even for a member of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(pub(crate) u64);

/// An event for which the thread that runs the bundle waits.
pub(crate) enum Wake {
    /// The process of this member has exited and must be reaped.
    Exited(MemberId),
    /// SIGINT, SIGTERM or SIGHUP has arrived.
    Interrupted,
    /// The bundle is to stop, with this deadline for each member, if one is given.
    Stop(Option<Duration>),
    Change(Vec<Change>, SyncSender<Result<(), ChangeError>>),
}

/// Reaches a bundle from another thread.
#[derive(Clone)]
pub struct BundleHandle {
    sender: Sender<Wake>,
    shared: Arc<Shared>,
}

/// State that the thread of the bundle shares with others.
#[derive(Default)]
struct Shared {
    members: Mutex<BTreeMap<MemberId, MemberStatus>>,
    /// The thread that runs the bundle.
    thread: OnceLock<ThreadId>,
    ending: AtomicBool,
}

impl BundleHandle {
    pub(crate) fn new(sender: Sender<Wake>) -> BundleHandle {
        BundleHandle { sender, shared: Arc::default() }
    }

    /// Ends the bundle in order. A second call changes nothing, nor does a call after the end. A
    /// bundle that has not begun starts no process.
    pub fn stop(&self) {
        // Ignores an error: without a receiver the bundle has ended.
        let _ = self.sender.send(Wake::Stop(None));
    }

    /// Ends the bundle as [`stop`](BundleHandle::stop) does, with another deadline than that of the
    /// bundle: how long each member has from SIGTERM to SIGKILL. It holds for members that get
    /// SIGTERM later.
    pub fn stop_within(&self, deadline: Duration) {
        // As above.
        let _ = self.sender.send(Wake::Stop(Some(deadline)));
    }

    /// The process id of a member, if it runs. The process may have exited when the caller uses the
    /// id.
    #[must_use]
    pub fn pid(&self, member: &str) -> Option<u32> {
        let members = self.lock();
        members.values().find(|status| status.name == member).and_then(|status| status.pid)
    }

    /// Returns the states of the members now, in the order in which they were added. Empty before
    /// the bundle runs and after its end. This waits for the thread that runs the bundle only while
    /// that thread starts a process.
    #[must_use]
    pub fn members(&self) -> Vec<MemberStatus> {
        self.lock().values().cloned().collect()
    }

    /// Whether the bundle is ending, or has ended: it was stopped or interrupted, or a member
    /// failed permanently.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.shared.ending.load(Relaxed)
    }

    /// Adds a member to the bundle while it runs. See [`change`](BundleHandle::change).
    ///
    /// # Errors
    /// As [`change`](BundleHandle::change).
    pub fn add(&self, member: Member) -> Result<(), ChangeError> {
        self.change([Change::Add(member)])
    }

    /// Stops a member and takes it out of the bundle. See [`change`](BundleHandle::change).
    ///
    /// # Errors
    /// As [`change`](BundleHandle::change).
    pub fn remove(&self, member: &str) -> Result<(), ChangeError> {
        self.change([Change::Remove(member.to_owned())])
    }

    /// Stops the member of this name, and starts `member` in its place. See
    /// [`change`](BundleHandle::change).
    ///
    /// # Errors
    /// As [`change`](BundleHandle::change).
    pub fn replace(&self, member: Member) -> Result<(), ChangeError> {
        self.change([Change::Replace(member)])
    }

    /// Changes the members while the bundle runs: all changes, or none if one of them does not fit.
    ///
    /// It returns when the changes have begun; [`members`](BundleHandle::members) and the events
    /// show their progress. Before [`Bundle::run`](crate::Bundle::run) it waits until that is
    /// called. Without a change it does nothing, so its return proves that the bundle responds.
    ///
    /// - The members that are removed or replaced end in the order of the bundle: each gets SIGTERM
    ///   after those that feed it have exited, if they end too. The deadline of the bundle holds.
    ///   That such a process fails, or is killed, is an event, and does not end the bundle; only
    ///   messages that it could not deliver ([`Bundle::UNDELIVERED`](crate::Bundle::UNDELIVERED))
    ///   do.
    /// - The members that are added or replace others start after all of those have ended. Their
    ///   starts and failures are counted from zero.
    /// - Other members continue. They no longer end after members that were removed.
    ///
    /// The bundle ends when all of its members have: with the removal of the last one, too.
    ///
    /// ```
    /// use std::process::Command;
    /// use std::thread;
    ///
    /// use mycelium_bundle::{Bundle, Change, Member};
    ///
    /// let sleep = |name: &str| {
    ///     Member::new(name, || {
    ///         let mut command = Command::new("sleep");
    ///         command.arg("1000");
    ///         command
    ///     })
    /// };
    /// let bundle = Bundle::new().member(sleep("feed"));
    /// let handle = bundle.handle();
    /// let running = thread::spawn(|| bundle.run());
    /// handle.change([Change::Add(sleep("store").ends_after("feed")), Change::Replace(sleep("feed"))])?;
    /// assert_eq!(handle.members().len(), 2);
    /// handle.remove("store")?;
    /// assert!(handle.remove("nobody").is_err());
    /// handle.stop();
    /// running.join().expect("no panic")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the members do not fit together with these changes, if the bundle ends or has ended, or
    /// if the caller is the bundle's observer, for which the bundle waits.
    pub fn change(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), ChangeError> {
        if self.shared.thread.get() == Some(&thread::current().id()) {
            return Err(ChangeError::InObserver);
        }
        let (reply, answer) = sync_channel(1);
        let wake = Wake::Change(changes.into_iter().collect(), reply);
        self.sender.send(wake).map_err(|_| ChangeError::Ended)?;
        // If there is no answer, the run has ended and has dropped the sender.
        answer.recv().unwrap_or(Err(ChangeError::Ended))
    }

    pub(crate) fn wakes(&self) -> Sender<Wake> {
        self.sender.clone()
    }

    pub(crate) fn set_ending(&self) {
        self.shared.ending.store(true, Relaxed);
    }

    pub(crate) fn runs_here(&self) {
        // Cannot fail, because a bundle runs once.
        let _ = self.shared.thread.set(thread::current().id());
    }

    /// Locks the states of the members, which the thread of the bundle keeps up to date.
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<MemberId, MemberStatus>> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BundleHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleHandle").field("members", &self.members()).finish_non_exhaustive()
    }
}
