//! What the control thread shares with the others: its limits, its tokens, and a registry of the
//! things that the others hand over.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mycelium_executor::Credentials;
use rustix::io::Errno;

use super::connection::Connection;
use super::entry::Entry;
use super::error::ControlError;
use super::poller::{FIRST_ID, Poller, Source};
use super::tokens::Tokens;
use crate::endpoint::unix::BoundSocket;

/// The limits of a control thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlLimits {
    /// The number of accepted connections. For another one, the oldest that has not finished its
    /// handshake is closed; if all have, the new one is.
    pub connections: usize,
    /// The time in which a connection has to finish its handshake.
    pub handshake: Duration,
    /// Ping every peer, as before Linux 6.5, which has no `SO_PEERPIDFD`. For tests.
    #[doc(hidden)]
    pub assume_old_system: bool,
}

impl Default for ControlLimits {
    fn default() -> ControlLimits {
        let handshake = Duration::from_secs(5);
        ControlLimits { connections: 256, handshake, assume_old_system: false }
    }
}

/// What the control thread and the others use.
pub(super) struct Shared {
    pub(super) poller: Arc<Poller>,
    pub(super) limits: ControlLimits,
    pub(super) tokens: Tokens,
    registry: Mutex<Registry>,
}

#[derive(Default)]
pub(super) struct Registry {
    pub(super) is_stopped: bool,
    next_id: u64,
    /// Connections that the control thread does not know yet.
    pub(super) connecting: Vec<Entry>,
    /// The socket, and a copy from which connections are accepted.
    pub(super) listener: Option<(BoundSocket, OwnedFd)>,
}

impl Shared {
    pub(super) fn new(limits: ControlLimits) -> Result<Shared, Errno> {
        let registry = Registry { next_id: FIRST_ID, ..Registry::default() };
        let (poller, tokens) = (Arc::new(Poller::new()?), Tokens::new());
        Ok(Shared { poller, limits, tokens, registry: Mutex::new(registry) })
    }

    /// # Errors
    /// If the thread was stopped.
    pub(super) fn registry(&self) -> Result<MutexGuard<'_, Registry>, ControlError> {
        let registry = self.any_registry();
        if registry.is_stopped { Err(ControlError::Stopped) } else { Ok(registry) }
    }

    pub(super) fn any_registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connection(
        &self,
        registry: &mut Registry,
        socket: &Arc<OwnedFd>,
        peer: Credentials,
    ) -> Arc<Connection> {
        let id = registry.next_id;
        registry.next_id += 1;
        Arc::new(Connection::new(id, socket.clone(), peer, self.poller.clone()))
    }

    /// Accepts connections from a socket.
    pub(super) fn accept_from(
        &self,
        registry: &mut Registry,
        bound: BoundSocket,
    ) -> Result<(), ControlError> {
        let failed =
            |error: io::Error| ControlError::System { action: "accept connections", error };
        let copy = bound.socket().map_err(failed)?;
        copy.set_nonblocking(true).map_err(failed)?;
        self.poller.add(&copy, Source::Listener).map_err(|error| failed(error.into()))?;
        registry.listener = Some((bound, copy.into()));
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}
