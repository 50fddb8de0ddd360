//! How other threads reach a bundle that runs: they wake its thread, and read the process ids of
//! its members.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the thread that runs the bundle waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wake {
    /// The process of this member has exited and must be reaped.
    Exited(usize),
    /// SIGINT or SIGTERM.
    Interrupted,
    Stop,
}

/// Reaches a bundle from another thread.
#[derive(Clone, Debug)]
pub struct BundleHandle {
    sender: Sender<Wake>,
    /// The processes that run now, by member.
    pids: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl BundleHandle {
    pub(crate) fn new(sender: Sender<Wake>) -> BundleHandle {
        BundleHandle { sender, pids: Arc::default() }
    }

    /// Ends the bundle in order. A second call changes nothing, nor does a call after the end. A
    /// bundle that has not begun starts no process.
    pub fn stop(&self) {
        // Without a receiver the bundle has ended.
        let _ = self.sender.send(Wake::Stop);
    }

    /// The process id of a member, if it runs. The process may have exited when the caller uses the
    /// id.
    #[must_use]
    pub fn pid(&self, member: &str) -> Option<u32> {
        self.pids().get(member).copied()
    }

    pub(crate) fn wakes(&self) -> Sender<Wake> {
        self.sender.clone()
    }

    pub(crate) fn pids(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
