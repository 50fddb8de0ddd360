//! A control connection, for other threads; the handler of its events, and the sockets by which the
//! sessions on both sides wake each other.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use mycelium_core::doorbell::WakePath;
use mycelium_executor::{Credentials, Executor, WakeStream};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use super::socket::{self, Poller};
use crate::endpoint::unix::refuse_descriptors;
use crate::memory::error::{Gone, SendError};
use crate::memory::packet::{Packet, PacketKind};
use crate::sync::lock;

/// Gets the events of one connection, on the control thread. That thread serves no other connection
/// meanwhile, so these methods must not wait.
///
/// For each handler [`gone`](Handler::gone) is called once, as the last call. It is the only call
/// if the connection is never established.
pub trait Handler: Send + Sync {
    /// The connection is established: the peer is known, and its process is alive.
    fn connected(&self, connection: &Arc<Connection>);

    /// A packet of kind `Region`, `Cursors` or `Refused` has arrived, with the descriptor that its
    /// kind carries, unless this process had none left.
    fn packet(&self, connection: &Arc<Connection>, packet: Packet, descriptor: Option<OwnedFd>);

    /// The peer wakes the tasks that sleep in its regions.
    fn wake(&self);

    /// The connection has ended.
    fn gone(&self, reason: Gone);
}

/// A connection with another process. It ends by [`close`](Connection::close), with the peer's
/// process, and with the control thread; dropping it changes nothing.
#[derive(Debug)]
pub struct Connection {
    pub(super) id: u64,
    peer: Credentials,
    poller: Arc<Poller>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the connection has ended.
    socket: Option<Arc<OwnedFd>>,
    /// Why this side ended the connection; the control thread must still notify the handler.
    reason: Option<Gone>,
    /// Packets that found no room in the socket.
    waiting: VecDeque<(Packet, Option<OwnedFd>)>,
    /// Whether a `Wake` follows the waiting packets.
    wake_waits: bool,
    /// The sockets on which threads of the peer are woken, if not by a `Wake` packet.
    wake_sockets: PeerSockets,
}

/// The limit on packets that wait for a peer that does not read, besides packets in the socket. One
/// more ends the connection.
const MOST_WAITING: usize = 1024;

impl Connection {
    pub(super) fn new(
        id: u64,
        socket: Arc<OwnedFd>,
        peer: Credentials,
        poller: Arc<Poller>,
    ) -> Connection {
        let state = State {
            socket: Some(socket),
            reason: None,
            waiting: VecDeque::new(),
            wake_waits: false,
            wake_sockets: PeerSockets::default(),
        };
        Connection { id, peer, poller, state: Mutex::new(state) }
    }

    /// Sends a packet, from any thread, without waiting. If the socket has no room, the packet
    /// waits for the peer, together with a copy of the descriptor.
    ///
    /// # Errors
    /// If the packet will not arrive. The connection ends then, if it has not ended; it stays only
    /// if this process has no descriptor left for the packet.
    pub fn send(
        &self,
        packet: Packet,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), SendError> {
        let mut state = lock(&self.state);
        let sent = self.try_send(&mut state, packet, descriptor);
        match sent {
            Ok(()) | Err(SendError::Descriptors) => {}
            Err(error) => state.fail(error),
        }
        sent
    }

    /// Wakes the peer's sleeping tasks, from any thread, without waiting: through an executor of
    /// the peer if that has passed the [`WakeSocket`] of this path, or else by the peer's control
    /// thread. If the socket of the control thread has no room, the tasks are woken once the peer
    /// has read.
    pub fn wake(&self, path: WakePath) {
        let mut state = lock(&self.state);
        if state.reason.is_none()
            && let WakePath::Socket(number) = path
            && let Some(Some(socket)) = state.wake_sockets.get_mut(usize::from(number))
            && socket.ring()
        {
            return;
        }
        let Some(socket) = state.open() else { return };
        if state.wake_waits {
            return;
        }
        let sent = socket::send(socket, Packet::empty(PacketKind::Wake), None);
        match sent {
            Ok(()) => {}
            Err(Errno::AGAIN) => {
                state.wake_waits = true;
                self.report_room(&mut state, true);
            }
            Err(error) => state.fail(ended(error)),
        }
    }

    /// Ends the connection, from any thread. Packets that were sent may still arrive.
    pub fn close(&self) {
        lock(&self.state).end(Gone::Closed);
    }

    /// Returns the credentials of the process at the other end, from the time when it connected or
    /// began to listen.
    #[must_use]
    pub fn peer(&self) -> Credentials {
        self.peer
    }

    /// Returns why this side ended the connection, if it did.
    pub(super) fn reason(&self) -> Option<Gone> {
        lock(&self.state).reason.clone()
    }

    /// Sets the socket with this number, on which the peer is woken from now on. Returns a socket
    /// that must be closed: the previous one, or this one if there is no such number.
    pub(super) fn wake_by(&self, number: u64, socket: PeerSocket) -> Option<PeerSocket> {
        let mut state = lock(&self.state);
        let place = usize::try_from(number).ok();
        match place.and_then(|number| state.wake_sockets.get_mut(number)) {
            Some(place) => place.replace(socket),
            None => Some(socket),
        }
    }

    /// Closes the socket. Returns why the connection ended (`reason`, unless this side ended it
    /// before), and sockets of the peer that must be closed.
    pub(super) fn finish(&self, reason: Gone) -> (Gone, PeerSockets) {
        let mut state = lock(&self.state);
        state.end(reason);
        state.socket = None;
        state.waiting = VecDeque::new();
        (state.reason.clone().unwrap_or(Gone::Closed), std::mem::take(&mut state.wake_sockets))
    }

    /// Sends the waiting packets, now that the socket has room.
    pub(super) fn send_waiting(&self) {
        let mut state = lock(&self.state);
        loop {
            let Some(socket) = state.open() else { return };
            let (packet, descriptor) = match state.waiting.front() {
                Some((packet, descriptor)) => (*packet, descriptor.as_ref()),
                None if state.wake_waits => (Packet::empty(PacketKind::Wake), None),
                None => break,
            };
            let sent = socket::send(socket, packet, descriptor.map(AsFd::as_fd));
            match sent {
                Ok(()) if state.waiting.pop_front().is_none() => state.wake_waits = false,
                Ok(()) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => return state.fail(ended(error)),
            }
        }
        self.report_room(&mut state, false);
    }

    fn try_send(
        &self,
        state: &mut State,
        packet: Packet,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), SendError> {
        let socket = state.open().ok_or(SendError::Closed)?;
        let is_first = state.waiting.is_empty();
        if is_first {
            match socket::send(socket, packet, descriptor) {
                Err(Errno::AGAIN) => {}
                result => return result.map_err(ended),
            }
        }
        let waiting = state.waiting.len();
        if waiting >= MOST_WAITING {
            return Err(SendError::Full(waiting));
        }
        let copy = descriptor.map(|descriptor| descriptor.try_clone_to_owned()).transpose();
        let copy = copy.map_err(|_| SendError::Descriptors)?;
        state.waiting.push_back((packet, copy));
        if is_first {
            self.report_room(state, true);
        }
        Ok(())
    }

    fn report_room(&self, state: &mut State, on: bool) {
        let Some(socket) = state.open() else { return };
        if let Err(error) = self.poller.report_room(socket, self.id, on) {
            state.fail(ended(error));
        }
    }
}

impl State {
    /// Returns the socket, unless the connection ended. It is not cloned: only the control thread
    /// may drop the last handle of it.
    fn open(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().filter(|_| self.reason.is_none()).map(|socket| socket.as_fd())
    }

    /// Ends the connection after an error. If the peer has ended it, the control thread notices
    /// that by itself.
    fn fail(&mut self, error: SendError) {
        if error != SendError::Closed {
            self.end(Gone::Send(error));
        }
    }

    /// Ends the connection. This causes an event of the socket, by which the control thread notices
    /// the end.
    fn end(&mut self, reason: Gone) {
        if self.reason.is_none() {
            self.reason = Some(reason);
        }
        if let Some(socket) = &self.socket {
            // Fails if the other side has closed its end, which is an event, too.
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
    }
}

/// Returns the error of a failed `sendmsg`.
fn ended(error: Errno) -> SendError {
    match error {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => SendError::Closed,
        Errno::TOOMANYREFS | Errno::MFILE | Errno::NFILE => SendError::Descriptors,
        error => SendError::System(error.raw_os_error()),
    }
}

// The sockets by which two processes wake each other: the peer's end, and this process's.

/// The sockets that the peer has passed, by number.
pub(super) type PeerSockets = [Option<PeerSocket>; WakePath::SOCKETS as usize];

/// A socket that the peer has passed: a byte there wakes the peer's task.
#[derive(Debug)]
pub(super) struct PeerSocket {
    socket: OwnedFd,
    has_ended: bool,
}

impl PeerSocket {
    /// Wraps the socket. [`Closers`](super::socket::Closers) must drop the result.
    pub(super) fn new(socket: OwnedFd) -> PeerSocket {
        PeerSocket { socket, has_ended: false }
    }

    /// Wakes the peer, without waiting. Returns false if the socket is full, or the peer no longer
    /// reads there.
    pub(super) fn ring(&mut self) -> bool {
        while !self.has_ended {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, b"w", flags) {
                Ok(_) => return true,
                Err(Errno::INTR) => {}
                // The socket is full, and the peer may have been woken for all of its bytes.
                Err(Errno::AGAIN) => return false,
                Err(_) => self.has_ended = true,
            }
        }
        false
    }
}

// Wakes the tasks of a process through its executor.
//
// A `Wake` packet takes two threads, one after the other: it wakes the control thread, which wakes
// the executor's thread, which runs the task. A byte on a socket that the executor itself watches
// needs the second thread only. A task of its own waits for it, because the session of the link has
// more to do in each poll.

/// A socket by which the peer wakes tasks of an executor. Until the peer has its other end, and
/// once this is dropped, the peer's wakes go to the control thread.
#[derive(Debug)]
pub struct WakeSocket {
    /// The end that the task reads. A shutdown takes effect at once, and ends the task, which has
    /// another handle of it: if the task ends first, that shuts the socket down, too.
    socket: UnixStream,
}

impl WakeSocket {
    /// Creates a socket, passes its other end to the peer with this number, and spawns the task
    /// that calls `ring` after the peer has rung, perhaps several times, and at the end. `ring` must
    /// not panic. Replaces the previous socket with the number.
    ///
    /// # Errors
    /// If the executor has no sockets or has ended, or the system has no descriptor left.
    pub fn open(
        connection: &Connection,
        number: u8,
        executor: &dyn Executor,
        ring: impl Fn() + Send + 'static,
    ) -> io::Result<WakeSocket> {
        let (socket, theirs) = UnixStream::pair()?;
        refuse_descriptors(&socket);
        let stream = executor.wake_stream(socket.try_clone()?)?;
        let task = listen(stream, WakeSocket { socket: socket.try_clone()? }, ring);
        executor.spawn(Box::pin(task)).map_err(io::Error::other)?;
        let socket = WakeSocket { socket };
        let packet = Packet::new(PacketKind::WakeSocket, number.into(), [0; 4]);
        connection.send(packet, Some(theirs.as_fd())).map_err(io::Error::other)?;
        Ok(socket)
    }

    /// Reads the bytes that the peer has written, without waiting. After this, the caller must check
    /// everything for which the peer may have rung.
    pub fn empty(&self) {
        // Nothing is there, or the peer has closed its end, which the task notices.
        let _ = rustix::net::recv(&self.socket, &mut [0; 4096], RecvFlags::DONTWAIT);
    }
}

/// Makes the peer's writes fail, so that it wakes the control thread from now on. After the drop,
/// the caller must check everything for which the peer may have rung before.
impl Drop for WakeSocket {
    fn drop(&mut self) {
        // Fails if the peer has closed its end.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

/// Calls `ring` after the peer has rung, until one side closes the socket, and then once more.
async fn listen(mut stream: WakeStream, socket: WakeSocket, ring: impl Fn()) {
    while stream.woken().await {
        ring();
    }
    drop(socket);
    ring();
}
