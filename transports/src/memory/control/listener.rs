//! The control socket, and the connections that are accepted from it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use mycelium_executor::{Credentials, Peer};
use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType};

use super::closers::Closers;
use super::poller::{Poller, Source};
use crate::endpoint::unix::{Access, BoundSocket};
use crate::memory::error::ControlError;
use crate::memory::mapping::peer_credentials;

/// The socket at which a control thread listens.
pub(super) struct Listener {
    bound: BoundSocket,
    /// The descriptor that the poller watches. `None` if the socket was made again, and no
    /// descriptor was left for it.
    accepting: Option<OwnedFd>,
}

impl Listener {
    pub(super) fn new(
        path: PathBuf,
        access: Access,
        poller: &Poller,
    ) -> Result<Listener, ControlError> {
        let bound = BoundSocket::of_kind(SocketType::SEQPACKET, path, access)?;
        let mut listener = Listener { bound, accepting: None };
        listener.watch(poller)?;
        Ok(listener)
    }

    /// Makes the socket again if its file has vanished. Returns whether it did.
    pub(super) fn restore(&mut self, poller: &Poller) -> Result<bool, ControlError> {
        if self.bound.restore()?
            && let Some(earlier) = self.accepting.take()
        {
            poller.remove(&earlier);
        }
        if self.accepting.is_some() {
            return Ok(false);
        }
        self.watch(poller)?;
        Ok(true)
    }

    /// Accepts a connection. `None` if the peer is not allowed, or has gone.
    pub(super) fn accept(
        &self,
        closers: &Closers,
    ) -> Result<Option<(OwnedFd, Credentials)>, Errno> {
        let accepting = self.accepting.as_ref().ok_or(Errno::AGAIN)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = match rustix::net::accept_with(accepting, flags) {
            Ok(socket) => socket,
            Err(Errno::INTR | Errno::CONNABORTED) => return Ok(None),
            Err(error) => return Err(error),
        };
        match peer_credentials(socket.as_fd()) {
            Ok(peer) if self.bound.allowed().check(&Peer::Unix(peer)).is_ok() => {
                Ok(Some((socket, peer)))
            }
            _ => {
                closers.close(socket);
                Ok(None)
            }
        }
    }

    /// Removes the file, and closes the socket with all connections that were not accepted.
    pub(super) fn close(self, closers: &Closers) {
        drop(self.bound);
        closers.close(self.accepting);
    }

    /// Stops the reports of connections.
    pub(super) fn pause(&self, poller: &Poller) {
        if let Some(accepting) = &self.accepting {
            poller.remove(accepting);
        }
    }

    /// Reports connections again.
    pub(super) fn resume(&self, poller: &Poller) {
        if let Some(accepting) = &self.accepting {
            // Fails if connections of this socket are reported already, because it was made during
            // the pause.
            let _ = poller.add(accepting, Source::Listener);
        }
    }

    fn watch(&mut self, poller: &Poller) -> Result<(), ControlError> {
        let failed = |error| ControlError::System { action: "accept connections", error };
        let copy = self.bound.socket().map_err(failed)?;
        copy.set_nonblocking(true).map_err(failed)?;
        poller.add(&copy, Source::Listener).map_err(|error| failed(error.into()))?;
        self.accepting = Some(copy.into());
        Ok(())
    }
}
