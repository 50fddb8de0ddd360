//! The control thread. This file has its interface for other threads: start, listen, expect,
//! connect, stop. `worker` has its loop and the state shared with other threads. `socket` has the
//! system calls: a poller that reports new connections and packets, and closers for descriptors
//! whose close may wait. `entry` has the handshake, in which a token gives a connection its
//! handler. `connection` has the sending side, and the sockets that wake a task without this
//! thread.

mod connection;
mod entry;
mod socket;
mod worker;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use mycelium_executor::{Credentials, Thread};
use rustix::net::SocketType;

use super::error::ControlError;
use super::packet::{Packet, PacketKind, Token};
use crate::endpoint::unix::{Access, check_listener, connect_unchecked};
use crate::sync::lock;
use entry::{Entry, WatchedPeer};
use socket::Listener;
use worker::{Shared, Worker};

pub use connection::{Connection, Handler, WakeSocket};
pub use entry::random_token;
pub use worker::ControlLimits;

/// The thread that owns the control socket and all control connections of a node. Its handlers run
/// on it. It only waits for events; its timers are for handshakes, closing connections and a pause.
///
/// Dropping it stops it, see [`stop`](ControlThread::stop).
#[derive(Debug)]
pub struct ControlThread {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ControlThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no thread or descriptor left.
    pub fn start(name: &str, limits: ControlLimits) -> Result<Arc<ControlThread>, ControlError> {
        let shared = Shared::new(limits).map_err(|error| {
            let action = "make the descriptors of the control thread";
            ControlError::System { action, error: error.into() }
        })?;
        let shared = Arc::new(shared);
        let mut worker = Worker::new(shared.clone());
        let request = Thread { name: name.to_owned(), ..Thread::default() };
        let (thread, _) = request.start(move || Ok(move || worker.run()))?;
        Ok(Arc::new(ControlThread { shared, thread: Mutex::new(Some(thread)) }))
    }

    /// Listens at a path: the path of the node's socket, with `.shm` appended. The same users may
    /// connect, and the same rules apply to files of dead processes, as for
    /// [`BoundSocket`](crate::endpoint::unix::BoundSocket). The file is removed when the thread
    /// stops.
    ///
    /// # Errors
    /// The same as for the node's socket; [`ControlError::Listens`] at a second call.
    pub fn listen(&self, path: impl Into<PathBuf>, access: Access) -> Result<(), ControlError> {
        let mut listener = self.shared.listener();
        if self.shared.connecting().is_none() {
            return Err(ControlError::Stopped);
        }
        if listener.is_some() {
            return Err(ControlError::Listens);
        }
        let Shared { poller, closers, .. } = &*self.shared;
        *listener = Some(Listener::new(path.into(), access, poller, closers)?);
        Ok(())
    }

    /// Checks that the socket's file is still at its path, and restores it if it has vanished, as
    /// for the node's socket. Returns whether it was restored.
    ///
    /// # Errors
    /// If the file has vanished and cannot be restored. The next call tries again.
    pub fn restore(&self) -> Result<bool, ControlError> {
        match &mut *self.shared.listener() {
            Some(listener) => listener.restore(&self.shared.poller, &self.shared.closers),
            None => Ok(false),
        }
    }

    /// Gives `handler` the next connection with this token. With `process`, only a connection of
    /// that process counts. That connection uses the token up.
    pub fn expect(&self, token: Token, process: Option<u32>, handler: Arc<dyn Handler>) {
        self.shared.tokens.insert(token, process, handler);
    }

    /// Removes an unused token. Returns whether it was known.
    pub fn forget(&self, token: &Token) -> bool {
        self.shared.tokens.remove(token).is_some()
    }

    /// Connects to the control thread that listens at a path, without waiting, and sends a token.
    /// The process there is refused unless it belongs to the user that [`Access`] names, or to
    /// root. The handler's [`connected`](Handler::connected) is called once the connection is
    /// accepted.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) and
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if no process listens there,
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if its queue of connections is full or too many
    /// descriptors of peers are not closed yet, and otherwise the errors of
    /// [`unix::connect`](crate::endpoint::unix::connect). After an error the handler is not called.
    pub fn connect(
        &self,
        path: &Path,
        access: &Access,
        token: Token,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Arc<Connection>> {
        if !self.shared.closers.has_room() {
            let text = "too many descriptors of peers are not closed yet";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        let socket = Arc::new(connect_unchecked(path, SocketType::SEQPACKET, access)?);
        let connected = check_listener(socket.as_fd(), path, access)
            .and_then(|peer| self.begin(&socket, peer, token, handler));
        if connected.is_err() {
            // It may contain descriptors of the peer already.
            self.shared.poller.remove(&*socket);
            self.shared.closers.close(socket);
        }
        connected
    }

    /// Begins the handshake with a peer that listens.
    fn begin(
        &self,
        socket: &Arc<OwnedFd>,
        peer: Credentials,
        token: Token,
        handler: Arc<dyn Handler>,
    ) -> io::Result<Arc<Connection>> {
        let old = self.shared.limits.assume_old_system;
        let watched = WatchedPeer::of(socket.as_fd(), peer, old)?;
        let needs_ping = watched.needs_ping;
        let connection = self.shared.connection(socket, peer);
        let entry = Entry::connecting(connection.clone(), socket.clone(), watched, handler);
        {
            let mut connecting = self.shared.connecting();
            let stopped = || io::Error::other(ControlError::Stopped);
            let connecting = connecting.as_mut().ok_or_else(stopped)?;
            // The control thread finds the connection in the list at its first event.
            entry.watch(&self.shared.poller)?;
            connecting.push(entry);
        }
        // If a packet is not sent, the connection ends, and the handler gets the reason.
        if needs_ping {
            let _ = connection.send(Packet::empty(PacketKind::Ping), None);
        }
        let _ = connection.send(Packet::hello(&token), None);
        // Wakes the thread, which must learn the deadline of the handshake.
        self.shared.poller.wake();
        Ok(connection)
    }

    /// Ends all connections and the thread, and waits for the thread, unless this is called on it.
    /// The handlers are notified, the socket's file is removed, tokens are forgotten.
    pub fn stop(&self) {
        self.shared.stop();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // The panic hook has reported the panic.
            let _ = thread.join();
        }
    }
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        self.stop();
    }
}
