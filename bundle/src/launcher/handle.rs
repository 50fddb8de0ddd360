//! The handle by which other threads control a running bundle: it wakes the bundle's thread,
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

/// The id of a member in a run. No id is used twice, not even for a member of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(pub(crate) u64);

/// An event for the thread that runs the bundle.
pub(crate) enum Wake {
    /// The process of this member has exited and must be reaped.
    Exited(MemberId),
    /// SIGINT, SIGTERM or SIGHUP has arrived.
    Interrupted,
    /// Stop the bundle, with this deadline for each member if one is given.
    Stop(Option<Duration>),
    Change(Vec<Change>, SyncSender<Result<(), ChangeError>>),
}

/// Controls a bundle from another thread.
#[derive(Clone)]
pub struct BundleHandle {
    sender: Sender<Wake>,
    shared: Arc<Shared>,
}

/// The state that the thread of the bundle shares with other threads.
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

    /// Stops the bundle in order. Further calls, and calls after its end, have no effect. A bundle
    /// that has not begun starts no process.
    pub fn stop(&self) {
        // Ignores an error: without a receiver the bundle has ended.
        let _ = self.sender.send(Wake::Stop(None));
    }

    /// Stops the bundle as [`stop`](BundleHandle::stop) does, with this deadline instead of the
    /// bundle's: the time from SIGTERM to SIGKILL of each member. It applies to members that get
    /// SIGTERM later.
    pub fn stop_within(&self, deadline: Duration) {
        // As above.
        let _ = self.sender.send(Wake::Stop(Some(deadline)));
    }

    /// Returns the process id of a member, or `None` if no process runs it. The process may have
    /// exited when the caller uses the id.
    #[must_use]
    pub fn pid(&self, member: &str) -> Option<u32> {
        let members = self.lock();
        members.values().find(|status| status.name == member).and_then(|status| status.pid)
    }

    /// Returns the current states of the members, in the order in which they were added. Empty
    /// before the bundle runs and after its end. Blocks only while the bundle's thread starts a
    /// process.
    #[must_use]
    pub fn members(&self) -> Vec<MemberStatus> {
        self.lock().values().cloned().collect()
    }

    /// Returns whether the bundle is ending or has ended, because it was stopped or interrupted, or
    /// a member failed permanently.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.shared.ending.load(Relaxed)
    }

    /// Adds a member to the running bundle. See [`change`](BundleHandle::change).
    ///
    /// # Errors
    /// The errors of [`change`](BundleHandle::change).
    pub fn add(&self, member: Member) -> Result<(), ChangeError> {
        self.change([Change::Add(member)])
    }

    /// Stops a member and removes it from the bundle. See [`change`](BundleHandle::change).
    ///
    /// # Errors
    /// The errors of [`change`](BundleHandle::change).
    pub fn remove(&self, member: &str) -> Result<(), ChangeError> {
        self.change([Change::Remove(member.to_owned())])
    }

    /// Stops the member with this name and starts `member` in its place. See
    /// [`change`](BundleHandle::change).
    ///
    /// # Errors
    /// The errors of [`change`](BundleHandle::change).
    pub fn replace(&self, member: Member) -> Result<(), ChangeError> {
        self.change([Change::Replace(member)])
    }

    /// Changes the members of the running bundle: all changes, or none if one is invalid.
    ///
    /// Returns when the changes have begun; [`members`](BundleHandle::members) and the events show
    /// their progress. Before [`Bundle::run`](crate::Bundle::run) it blocks until `run` is called.
    /// Without a change it only waits for the bundle's answer, which shows that the bundle
    /// responds.
    ///
    /// - Removed and replaced members end in the order of the bundle: each gets SIGTERM after those
    ///   of its feeders that also end have exited. The deadline of the bundle applies. If such a
    ///   process fails or is killed, that is an event and does not end the bundle, unless messages
    ///   could not be delivered ([`Bundle::UNDELIVERED`](crate::Bundle::UNDELIVERED)).
    /// - Added members, and members that replace others, start after all removed and replaced
    ///   members have ended. Their starts and failures are counted from zero.
    /// - Other members continue. They no longer wait for removed members when they end.
    ///
    /// The bundle ends when all of its members have ended, also if the last one was removed.
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
    /// If the members are invalid with these changes, if the bundle is ending or has ended, or if
    /// the caller is the bundle's observer, for which the bundle waits.
    pub fn change(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), ChangeError> {
        if self.shared.thread.get() == Some(&thread::current().id()) {
            return Err(ChangeError::InObserver);
        }
        let (reply, answer) = sync_channel(1);
        let wake = Wake::Change(changes.into_iter().collect(), reply);
        self.sender.send(wake).map_err(|_| ChangeError::Ended)?;
        // Without an answer the run has ended and has dropped the sender.
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

    /// Locks the states of the members, which the thread of the bundle updates.
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<MemberId, MemberStatus>> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BundleHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleHandle").field("members", &self.members()).finish_non_exhaustive()
    }
}
