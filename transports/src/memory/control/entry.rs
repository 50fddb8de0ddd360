//! A connection on the control thread: its handshake with a token, and its packets.
//!
//! ```text
//! accepted:   AwaitHello ─Hello─▶ (Ping, AwaitPong ─Pong─▶) Welcome, Connected
//! connecting: (Ping,) Hello, AwaitWelcome ─(Pong,) Welcome─▶ Connected
//! ```
//!
//! Before Linux 6.5 the process of a peer is found by its number, which another process may have
//! meanwhile. If the peer answers a `Ping` that was sent after that, the right process was found.
//!
//! **Panic contract.** Peers may be hostile: no packet makes this code panic or wait.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use mycelium_executor::Credentials;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::connection::{Connection, Handler, PeerSocket};
use super::socket::{self, Closers, Poller, Received, Source};
use crate::endpoint::unix::peer_process;
use crate::memory::error::{Gone, SendError};
use crate::memory::packet::{Packet, PacketError, PacketKind, RefusedHello, Token};
use crate::sync::lock;

/// The limit on replaced wake sockets of a connection that are not closed yet. A peer replaces one
/// when a thread of its executors has ended, and packets may come faster than sockets are closed.
const MOST_UNCLOSED: usize = 128;

/// A connection.
pub(super) struct Entry {
    pub(super) connection: Arc<Connection>,
    socket: Arc<OwnedFd>,
    peer: WatchedPeer,
    pub(super) phase: Phase,
    handler: Option<Arc<dyn Handler>>,
    /// Whether this process accepted the connection.
    pub(super) is_accepted: bool,
    /// Counted by its clones: replaced wake sockets of the peer that are not closed yet.
    unclosed: Arc<()>,
}

/// The progress of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted; the `Hello` has not arrived.
    AwaitHello,
    /// The token was right; the answer to a `Ping` has not arrived.
    AwaitPong,
    /// Connected to a listener; its `Welcome` has not arrived. `pong`: a `Pong` is still expected,
    /// too.
    AwaitWelcome { pong: bool },
    /// Established.
    Connected,
}

/// The process of a peer.
pub(super) struct WatchedPeer {
    /// Becomes readable when the process has ended.
    process: OwnedFd,
    /// Whether the process is certain only after a `Ping`.
    pub(super) needs_ping: bool,
}

impl WatchedPeer {
    /// Watches the process at the other end of a socket.
    ///
    /// # Errors
    /// The system's error; `ESRCH` if the process has ended.
    pub(super) fn of(
        socket: BorrowedFd<'_>,
        peer: Credentials,
        assume_old_system: bool,
    ) -> Result<WatchedPeer, Errno> {
        let found = if assume_old_system { Err(Errno::NOPROTOOPT) } else { peer_process(socket) };
        match found {
            Ok(process) => Ok(WatchedPeer { process, needs_ping: false }),
            Err(Errno::NOPROTOOPT) => {
                let number = peer.process.and_then(|number| i32::try_from(number).ok());
                let number = number.and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
                let process = pidfd_open(number, PidfdFlags::empty())?;
                Ok(WatchedPeer { process, needs_ping: true })
            }
            Err(error) => Err(error),
        }
    }
}

impl Entry {
    /// Creates the entry of a connection that this process accepted.
    pub(super) fn accepted(
        connection: Arc<Connection>,
        socket: Arc<OwnedFd>,
        peer: WatchedPeer,
    ) -> Entry {
        let (phase, unclosed) = (Phase::AwaitHello, Arc::default());
        Entry { connection, socket, peer, phase, handler: None, is_accepted: true, unclosed }
    }

    /// Creates the entry of a connection that this process began.
    pub(super) fn connecting(
        connection: Arc<Connection>,
        socket: Arc<OwnedFd>,
        peer: WatchedPeer,
        handler: Arc<dyn Handler>,
    ) -> Entry {
        let (phase, unclosed) = (Phase::AwaitWelcome { pong: peer.needs_ping }, Arc::default());
        let handler = Some(handler);
        Entry { connection, socket, peer, phase, handler, is_accepted: false, unclosed }
    }

    /// Makes the poller report the connection's events.
    pub(super) fn watch(&self, poller: &Poller) -> Result<(), Errno> {
        let id = self.connection.id;
        poller.add(&*self.socket, Source::Socket(id))?;
        poller.add(&self.peer.process, Source::Process(id))
    }

    /// Watches only the peer's process from now on, because the peer has closed the connection.
    pub(super) fn stop_reading(&self, poller: &Poller) {
        poller.remove(&*self.socket);
    }

    /// Ends the connection: closes its descriptors and notifies its handler.
    pub(super) fn end(self, poller: &Poller, closers: &Closers, reason: Gone) {
        let Entry { connection, socket, peer, handler, .. } = self;
        let (reason, wake_sockets) = connection.finish(reason);
        poller.remove(&*socket);
        poller.remove(&peer.process);
        drop(peer);
        // Another thread closes the sockets, because they may contain descriptors that were never
        // received.
        closers.close((socket, wake_sockets));
        if let Some(handler) = handler {
            // The panic hook has reported the panic.
            let _ = contained(|| handler.gone(reason));
            let _ = contained(|| drop(handler));
        }
    }

    /// Handles at most `most` packets that have arrived.
    ///
    /// # Errors
    /// If the connection has ended: the reason.
    pub(super) fn read(
        &mut self,
        tokens: &Tokens,
        closers: &Closers,
        most: usize,
    ) -> Result<(), Gone> {
        // Remembers a wake here, because several wakes in a row count as one.
        let mut wakes = false;
        let result = self.read_packets(tokens, closers, most, &mut wakes);
        if wakes {
            self.call(|handler, _| handler.wake())?;
        }
        result
    }

    fn read_packets(
        &mut self,
        tokens: &Tokens,
        closers: &Closers,
        most: usize,
        wakes: &mut bool,
    ) -> Result<(), Gone> {
        for _ in 0..most {
            // This side may have ended the connection: earlier, or in its handler.
            if let Some(reason) = self.connection.reason() {
                return Err(reason);
            }
            match socket::receive(self.socket.as_fd(), closers) {
                Received::Packet(packet, _)
                    if packet.kind == PacketKind::Wake && self.phase == Phase::Connected =>
                {
                    *wakes = true;
                }
                Received::Packet(packet, descriptor) => {
                    self.handle(tokens, closers, packet, descriptor)?;
                }
                Received::Empty => return Ok(()),
                Received::Closed => return Err(Gone::PeerClosed),
                Received::Invalid(error) => return Err(Gone::Packet(error)),
                Received::Failed(error) => return Err(Gone::System(error.raw_os_error())),
            }
        }
        Ok(())
    }

    fn handle(
        &mut self,
        tokens: &Tokens,
        closers: &Closers,
        packet: Packet,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), Gone> {
        match (self.phase, packet.kind) {
            (_, PacketKind::Ping) => self.send(Packet::empty(PacketKind::Pong)),
            (Phase::AwaitHello, PacketKind::Hello) => self.greet(tokens, packet),
            (Phase::AwaitPong, PacketKind::Pong) => self.welcome(),
            (Phase::AwaitWelcome { pong: true }, PacketKind::Pong) => {
                self.phase = Phase::AwaitWelcome { pong: false };
                Ok(())
            }
            (Phase::AwaitWelcome { pong: false }, PacketKind::Welcome) => {
                self.phase = Phase::Connected;
                self.call(|handler, connection| handler.connected(connection))
            }
            (Phase::AwaitWelcome { .. }, PacketKind::Refused) => {
                Err(Gone::Refused(packet.hello_refusal()))
            }
            (Phase::Connected, PacketKind::Region | PacketKind::Cursors | PacketKind::Refused) => {
                self.call(|handler, connection| handler.packet(connection, packet, descriptor))
            }
            (Phase::Connected, PacketKind::WakeSocket) => {
                let passed = descriptor.map(PeerSocket::new);
                let wake_by = |socket| self.connection.wake_by(packet.number, socket);
                let Some(unused) = passed.and_then(wake_by) else { return Ok(()) };
                // The clone is dropped after the socket is closed.
                closers.close((unused, self.unclosed.clone()));
                match Arc::strong_count(&self.unclosed) - 1 {
                    ..=MOST_UNCLOSED => Ok(()),
                    count => Err(Gone::Unclosed(count)),
                }
            }
            (_, kind) => {
                closers.close(descriptor);
                Err(Gone::Packet(PacketError::Unexpected(kind)))
            }
        }
    }

    /// Handles a `Hello`: finds the handler of its token.
    fn greet(&mut self, tokens: &Tokens, hello: Packet) -> Result<(), Gone> {
        let process = self.connection.peer().process;
        match hello.token().and_then(|token| tokens.take(&token, process)) {
            Ok(handler) => self.handler = Some(handler),
            Err(reason) => {
                self.send(Packet::refused_hello(reason))?;
                return Err(Gone::Refused(reason));
            }
        }
        if self.peer.needs_ping {
            self.phase = Phase::AwaitPong;
            return self.send(Packet::empty(PacketKind::Ping));
        }
        self.welcome()
    }

    fn welcome(&mut self) -> Result<(), Gone> {
        self.send(Packet::empty(PacketKind::Welcome))?;
        self.phase = Phase::Connected;
        self.call(|handler, connection| handler.connected(connection))
    }

    fn send(&self, packet: Packet) -> Result<(), Gone> {
        match self.connection.send(packet, None) {
            // If the connection is closed, the next receive finds the end.
            Ok(()) | Err(SendError::Closed) => Ok(()),
            Err(error) => Err(Gone::Send(error)),
        }
    }

    fn call(&self, call: impl FnOnce(&dyn Handler, &Arc<Connection>)) -> Result<(), Gone> {
        let Some(handler) = &self.handler else { return Ok(()) };
        contained(|| call(&**handler, &self.connection))
    }
}

/// Calls a handler: a panic ends only its connection.
fn contained(call: impl FnOnce()) -> Result<(), Gone> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Gone::Panicked)
}

// The tokens with which processes are expected to connect.

/// Creates a token that cannot be guessed.
///
/// # Panics
/// If the system has no random numbers.
#[must_use]
pub fn random_token() -> Token {
    let mut token = [0; 16];
    let filled = rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty());
    assert_eq!(filled, Ok(token.len()), "the system gives this number of bytes at once");
    token
}

/// The handlers of expected connections, by token.
pub(super) struct Tokens(Mutex<Option<HashMap<Token, Expected>>>);

struct Expected {
    process: Option<u32>,
    handler: Arc<dyn Handler>,
}

impl Tokens {
    pub(super) fn new() -> Tokens {
        Tokens(Mutex::new(Some(HashMap::new())))
    }

    pub(super) fn insert(&self, token: Token, process: Option<u32>, handler: Arc<dyn Handler>) {
        let replaced = match &mut *lock(&self.0) {
            Some(tokens) => tokens.insert(token, Expected { process, handler }),
            None => Some(Expected { process, handler }),
        };
        // Dropped without the lock, because the drop of the handler may run any code.
        drop(replaced);
    }

    /// Removes and returns the handler of a token, which is used up then.
    pub(super) fn remove(&self, token: &Token) -> Option<Arc<dyn Handler>> {
        lock(&self.0).as_mut()?.remove(token).map(|expected| expected.handler)
    }

    /// Removes and returns the handler of a token that `process` has sent, unless the token is for
    /// another process.
    pub(super) fn take(
        &self,
        token: &Token,
        process: Option<u32>,
    ) -> Result<Arc<dyn Handler>, RefusedHello> {
        let mut tokens = lock(&self.0);
        let tokens = tokens.as_mut().ok_or(RefusedHello::Token)?;
        let expected = tokens.get(token).ok_or(RefusedHello::Token)?;
        if expected.process.is_some() && expected.process != process {
            return Err(RefusedHello::Token);
        }
        tokens.remove(token).map(|expected| expected.handler).ok_or(RefusedHello::Token)
    }

    /// Drops all handlers. Handlers that are added later are dropped at once.
    pub(super) fn close(&self) {
        let tokens = lock(&self.0).take();
        drop(tokens);
    }
}
