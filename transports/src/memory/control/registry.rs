//! The state that the control thread shares with other threads: its limits, its tokens, its socket,
//! and the connections that other threads began.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mycelium_executor::Credentials;
use rustix::io::Errno;

use super::closers::Closers;
use super::connection::Connection;
use super::entry::Entry;
use super::listener::Listener;
use super::poller::{FIRST_ID, Poller};
use super::tokens::Tokens;
use crate::sync::{AtomicBool, AtomicU64, Ordering, lock};

/// The limits of a control thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlLimits {
    /// How many accepted connections there may be. For one more, the oldest that has not finished
    /// its handshake is closed; if all have, the new one is.
    pub connections: usize,
    /// How long a handshake may take. Then the connection is closed.
    pub handshake: Duration,
    /// Pings every peer, as is needed before Linux 6.5, which has no `SO_PEERPIDFD`. For tests.
    #[doc(hidden)]
    pub assume_old_system: bool,
}

impl Default for ControlLimits {
    fn default() -> ControlLimits {
        let handshake = Duration::from_secs(5);
        ControlLimits { connections: 256, handshake, assume_old_system: false }
    }
}

/// The state that the control thread and other threads use.
pub(super) struct Shared {
    pub(super) poller: Arc<Poller>,
    pub(super) limits: ControlLimits,
    pub(super) tokens: Tokens,
    pub(super) closers: Closers,
    next_id: AtomicU64,
    is_stopped: AtomicBool,
    /// Connections that the control thread has not taken over yet. `None` once it has stopped.
    connecting: Mutex<Option<Vec<Entry>>>,
    listener: Mutex<Option<Listener>>,
}

impl Shared {
    pub(super) fn new(limits: ControlLimits) -> Result<Shared, Errno> {
        Ok(Shared {
            poller: Arc::new(Poller::new()?),
            limits,
            tokens: Tokens::new(),
            closers: Closers::new(),
            next_id: AtomicU64::new(FIRST_ID),
            is_stopped: AtomicBool::new(false),
            connecting: Mutex::new(Some(Vec::new())),
            listener: Mutex::new(None),
        })
    }

    pub(super) fn connection(&self, socket: &Arc<OwnedFd>, peer: Credentials) -> Arc<Connection> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Arc::new(Connection::new(id, socket.clone(), peer, self.poller.clone()))
    }

    /// Makes the control thread end soon.
    pub(super) fn stop(&self) {
        // Relaxed: it publishes nothing else, and the wake orders it before the next check.
        self.is_stopped.store(true, Ordering::Relaxed);
        self.poller.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Locks the connections that the control thread has not taken over yet. `None` once it has
    /// stopped.
    pub(super) fn connecting(&self) -> MutexGuard<'_, Option<Vec<Entry>>> {
        lock(&self.connecting)
    }

    /// Locks the control socket. Handlers do not lock it, nor does a caller that holds
    /// [`connecting`](Shared::connecting).
    pub(super) fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        lock(&self.listener)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}
