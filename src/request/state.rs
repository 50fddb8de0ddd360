//! What a mailbox is like, for those who wait for a reply.

use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the node; all are false at first.
#[derive(Debug, Default)]
pub(crate) struct MailboxState {
    /// Requests are rejected when it is full; otherwise they wait.
    pub(super) rejects: Flag,
    /// The node shuts down, and has closed it.
    pub(super) shuts_down: Flag,
    /// Its requests go to another node.
    pub(super) is_remote: Flag,
    /// That node is not connected.
    pub(super) is_unreachable: Flag,
}

impl MailboxState {
    /// Requests that find it full are rejected.
    pub(crate) fn reject(&self) {
        self.rejects.set(true);
    }

    /// Its requests go to another node, which is connected or not.
    pub(crate) fn set_remote(&self, is_connected: bool) {
        self.is_remote.set(true);
        self.is_unreachable.set(!is_connected);
    }
}

#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
