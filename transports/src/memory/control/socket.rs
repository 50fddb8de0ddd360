//! The system calls of the control thread: packets and descriptors over a `SOCK_SEQPACKET` socket,
//! the listener, the poller, and threads that close descriptors. Only these threads wait.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use mycelium_executor::{Credentials, Peer};
use rustix::cmsg_space;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fs::fcntl_get_seals;
use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::endpoint::unix::{Access, BoundSocket, peer_credentials};
use crate::memory::error::ControlError;
use crate::memory::packet::{BYTES, Packet, PacketError, PacketKind};
use crate::sync::lock;

/// The result of [`receive`].
#[derive(Debug)]
pub(super) enum Received {
    /// A packet, with the descriptor that its kind carries, unless this process has none left.
    Packet(Packet, Option<OwnedFd>),
    /// Nothing has arrived.
    Empty,
    /// The other side has closed its end.
    Closed,
    /// The other side broke the protocol. The packet stays in the socket.
    Invalid(PacketError),
    /// The system failed.
    Failed(Errno),
}

/// Sends a packet, with a descriptor if there is one. Returns `AGAIN` if the socket has no room
/// now.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    packet: Packet,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let bytes = packet.to_bytes();
    let descriptors = descriptor.as_slice();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let pushed = control.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(pushed, "the space is for one descriptor");
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Receives a packet. Descriptors of an invalid one go to `closers`, or stay in the socket.
pub(super) fn receive(socket: BorrowedFd<'_>, closers: &Closers) -> Received {
    // Has room for one byte more than a packet, to detect a longer packet.
    let mut bytes = [0; BYTES + 1];
    // Receives no descriptor: the flag says whether there is one.
    let found = match peek(socket, &mut bytes, &mut RecvAncillaryBuffer::default()) {
        Ok(found) => found,
        Err(Errno::AGAIN) => return Received::Empty,
        Err(error) => return Received::Failed(error),
    };
    let packet = match Packet::read(&bytes[..found.bytes.min(bytes.len())]) {
        Ok(packet) => packet,
        Err(_) if found.bytes == 0 => return Received::Closed,
        Err(error) => return Received::Invalid(error),
    };
    let has_descriptor = packet.kind.has_descriptor();
    if found.flags.contains(ReturnFlags::CTRUNC) != has_descriptor {
        return Received::Invalid(PacketError::Descriptors(packet.kind));
    }
    if has_descriptor {
        return receive_with_descriptor(socket, packet, closers);
    }
    skip(socket).map_or_else(Received::Failed, |()| Received::Packet(packet, None))
}

/// Receives the next packet, which has descriptors.
fn receive_with_descriptor(socket: BorrowedFd<'_>, packet: Packet, closers: &Closers) -> Received {
    let (mut descriptors, mut is_spare) = (Vec::new(), false);
    let mut peeked = peek_descriptors(socket, &mut descriptors);
    // This process has no descriptor left. Skipping the packet would then close its file here.
    if peeked.is_ok() && descriptors.is_empty() {
        is_spare = closers.free_spare();
        peeked = peek_descriptors(socket, &mut descriptors);
    }
    let checked = match peeked {
        Ok(_) if descriptors.is_empty() => return Received::Failed(Errno::MFILE),
        Ok(is_all) => check(packet.kind, &descriptors, is_all),
        Err(error) => return Received::Failed(error),
    };
    if let Err(error) = checked {
        closers.close(descriptors);
        return Received::Invalid(error);
    }
    let skipped = skip(socket);
    if skipped.is_ok() && !is_spare {
        return Received::Packet(packet, descriptors.pop());
    }
    if packet.kind == PacketKind::WakeSocket {
        closers.close(descriptors);
    } else {
        // No peer can delay the close of memory, so the next packet finds a spare descriptor again.
        drop(descriptors);
        closers.catch_up();
    }
    skipped.map_or_else(Received::Failed, |()| Received::Packet(packet, None))
}

/// Receives copies of the descriptors of the next packet, four at most. Returns whether these are
/// all.
fn peek_descriptors(socket: BorrowedFd<'_>, descriptors: &mut Vec<OwnedFd>) -> Result<bool, Errno> {
    // Room for one descriptor is room for four, because its size is a multiple of 8, and 8 more for
    // its alignment.
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let found = peek(socket, &mut [0; 1], &mut control)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    Ok(!found.flags.contains(ReturnFlags::CTRUNC))
}

/// Reads the next packet, which stays in the socket: its bytes, and copies of its descriptors, as
/// far as there is room.
fn peek(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    control: &mut RecvAncillaryBuffer<'_>,
) -> Result<RecvMsg, Errno> {
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT | RecvFlags::PEEK;
    loop {
        match rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], control, flags) {
            Ok(found) => return Ok(found),
            // The other side closed its end before it had read everything. Its own packets follow,
            // and then the end.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes the next packet. This closes no file: this process has copies of its descriptors.
fn skip(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    loop {
        match rustix::net::recv(socket, &mut [0; 1], RecvFlags::DONTWAIT) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Checks the descriptors of a packet whose kind carries one. None of these calls may wait.
fn check(kind: PacketKind, descriptors: &[OwnedFd], is_all: bool) -> Result<(), PacketError> {
    match descriptors {
        [socket] if is_all && kind == PacketKind::WakeSocket => {
            is_unix_stream(socket).then_some(()).ok_or(PacketError::NoSocket(kind))
        }
        // Only memfds have seals.
        [memory] if is_all => {
            fcntl_get_seals(memory).map(drop).map_err(|_| PacketError::NoMemory(kind))
        }
        _ => Err(PacketError::Descriptors(kind)),
    }
}

fn is_unix_stream(descriptor: &OwnedFd) -> bool {
    socket_domain(descriptor) == Ok(AddressFamily::UNIX)
        && socket_type(descriptor) == Ok(SocketType::STREAM)
}

// Closers: close descriptors of peers on other threads.
//
// Closing a descriptor may wait for as long as a peer likes: if the file is on a file system that
// a process of the peer serves, each close waits for an answer of that process; if it is a TCP
// socket with `SO_LINGER`, the last close waits for the other end. This concerns a descriptor that
// a peer passed, and a socket on which such a descriptor is still unread when it is closed. So the
// control thread closes neither of them.
//
// A peer may block one of these threads forever. When [`THREADS`] threads are blocked, descriptors
// accumulate, and no connections are accepted.
//
// A packet that is removed from a socket closes its file if this process had no descriptor left to
// receive it. One is kept in reserve for that. Until another one can be made, such packets end
// their connections.

/// The limit on threads.
const THREADS: usize = 8;

/// The limit on waiting descriptors, above which no connections are accepted.
const WAITING: usize = 64;

/// How long [`Closers::settle`] waits for descriptors that are not slow.
const SETTLE: Duration = Duration::from_secs(1);

/// Threads that close descriptors. They end when there is no descriptor left.
#[derive(Clone)]
pub(super) struct Closers(Arc<ClosersState>);

struct ClosersState {
    state: Mutex<State>,
    /// Notified when a thread ends.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Send>>,
    threads: usize,
    /// Whether a thread could not be started: all that run may be blocked while others could close
    /// what waits.
    is_behind: bool,
    /// The descriptor that is kept in reserve.
    spare: Option<OwnedFd>,
}

impl Closers {
    pub(super) fn new() -> Closers {
        let closers =
            Closers(Arc::new(ClosersState { state: Mutex::default(), ended: Condvar::new() }));
        closers.catch_up();
        closers
    }

    /// Whether the threads keep up with the descriptors.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.0.state).waiting.len() < WAITING
    }

    /// Drops a descriptor, or several.
    pub(super) fn close(&self, descriptor: impl Send + 'static) {
        let mut state = lock(&self.0.state);
        state.waiting.push_back(Box::new(descriptor));
        // Starts another thread, unless there are too many, because all running ones may be
        // blocked.
        if state.threads < THREADS {
            self.start(&mut state);
        }
    }

    /// Tries again what failed because the system had no thread or no descriptor left. Returns
    /// whether it has succeeded.
    pub(super) fn catch_up(&self) -> bool {
        let mut state = lock(&self.0.state);
        state.is_behind &= !state.waiting.is_empty() && state.threads < THREADS;
        if state.is_behind {
            self.start(&mut state);
        }
        if state.spare.is_none() {
            state.spare = eventfd(0, EventfdFlags::CLOEXEC).ok();
        }
        state.spare.is_some() && !state.is_behind
    }

    /// Closes the descriptor that is kept in reserve, so that another can be received. Returns
    /// whether there was one.
    fn free_spare(&self) -> bool {
        lock(&self.0.state).spare.take().is_some()
    }

    /// Starts a thread, unless the system has none left.
    fn start(&self, state: &mut State) {
        let closers = self.clone();
        let started = thread::Builder::new().name("close".to_owned()).spawn(move || closers.run());
        state.threads += usize::from(started.is_ok());
        state.is_behind |= started.is_err();
    }

    /// Waits until all descriptors are closed, except those that are slow.
    pub(super) fn settle(&self) {
        self.catch_up();
        let state = lock(&self.0.state);
        // A panic of another thread does not matter here.
        let _ = self.0.ended.wait_timeout_while(state, SETTLE, |state| state.threads > 0);
        // Not left to the drop of this state: a thread that ends may drop it after the caller.
        self.free_spare();
    }

    fn run(&self) {
        loop {
            let mut state = lock(&self.0.state);
            let Some(descriptor) = state.waiting.pop_front() else {
                state.threads -= 1;
                self.0.ended.notify_all();
                return;
            };
            drop(state);
            drop(descriptor);
        }
    }
}

impl Drop for ClosersState {
    fn drop(&mut self) {
        // No thread could be started. What is left stays open, because closing it here might wait.
        mem::forget(mem::take(&mut lock(&self.state).waiting));
    }
}

// The sockets and processes that the control thread watches.

/// An epoll instance, and an eventfd by which other threads end its wait.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
    wake: OwnedFd,
}

/// The source of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The eventfd.
    Wake,
    /// The listening socket.
    Listener,
    /// The socket of a connection.
    Socket(u64),
    /// The process of a connection's peer.
    Process(u64),
}

impl Source {
    fn to_data(self) -> EventData {
        EventData::new_u64(match self {
            Source::Wake => 0,
            Source::Listener => 1,
            Source::Socket(id) => id << 1,
            Source::Process(id) => id << 1 | 1,
        })
    }

    fn of(data: EventData) -> Source {
        match data.u64() {
            0 => Source::Wake,
            1 => Source::Listener,
            socket if socket & 1 == 0 => Source::Socket(socket >> 1),
            process => Source::Process(process >> 1),
        }
    }
}

/// The first number of a connection: lower numbers stand for the other sources.
pub(super) const FIRST_ID: u64 = 1;

impl Poller {
    pub(super) fn new() -> Result<Poller, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let poller = Poller { epoll, wake };
        poller.add(&poller.wake, Source::Wake)?;
        Ok(poller)
    }

    /// Reports when `watched` is readable or has ended.
    pub(super) fn add(&self, watched: impl AsFd, source: Source) -> Result<(), Errno> {
        epoll::add(&self.epoll, watched, source.to_data(), EventFlags::IN)
    }

    /// Sets whether to report also when a socket is writable.
    pub(super) fn report_room(&self, socket: impl AsFd, id: u64, on: bool) -> Result<(), Errno> {
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, on);
        epoll::modify(&self.epoll, socket, Source::Socket(id).to_data(), flags)
    }

    pub(super) fn remove(&self, watched: impl AsFd) {
        // Fails for a descriptor that is not watched.
        let _ = epoll::delete(&self.epoll, watched);
    }

    /// Ends the wait.
    pub(super) fn wake(&self) {
        // Fails if the eventfd is full, which ends the wait, too.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Waits for events: the source of each, and whether a socket is writable.
    pub(super) fn wait(
        &self,
        events: &mut Vec<(Source, bool)>,
        timeout: Option<Timespec>,
    ) -> Result<(), Errno> {
        events.clear();
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut room = [none; 64];
        let found = match epoll::wait(&self.epoll, &mut room[..], timeout.as_ref()) {
            Ok(found) => found,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error),
        };
        for event in &room[..found] {
            // Copied, because the fields are not aligned.
            let (flags, source) = (event.flags, Source::of(event.data));
            if source == Source::Wake {
                let _ = rustix::io::read(&self.wake, &mut [0; 8]);
            }
            events.push((source, flags.contains(EventFlags::OUT)));
        }
        Ok(())
    }
}

// The control socket, and the connections that are accepted from it.

/// The socket at which a control thread listens.
pub(super) struct Listener {
    bound: BoundSocket,
    /// The descriptor that the poller watches. `None` if the socket was restored and no descriptor
    /// was left for it.
    accepting: Option<OwnedFd>,
}

impl Listener {
    pub(super) fn new(
        path: PathBuf,
        access: Access,
        poller: &Poller,
        closers: &Closers,
    ) -> Result<Listener, ControlError> {
        let bound = BoundSocket::of_kind(SocketType::SEQPACKET, path, access)?;
        let mut listener = Listener { bound, accepting: None };
        match listener.watch(poller) {
            Ok(()) => Ok(listener),
            Err(error) => {
                listener.close(closers);
                Err(error)
            }
        }
    }

    /// Restores the socket if its file has vanished. Returns whether it did.
    pub(super) fn restore(
        &mut self,
        poller: &Poller,
        closers: &Closers,
    ) -> Result<bool, ControlError> {
        if let Some(earlier) = self.bound.replace()? {
            let accepting = self.accepting.take();
            if let Some(accepting) = &accepting {
                poller.remove(accepting);
            }
            // Connections that were not accepted are closed with it.
            closers.close((earlier, accepting));
        }
        if self.accepting.is_some() {
            return Ok(false);
        }
        self.watch(poller)?;
        Ok(true)
    }

    /// Accepts a connection. Returns `None` if the peer is not allowed, or has gone.
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
        closers.close((self.bound.into_socket(), self.accepting));
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
            // Fails if connections of this socket are reported already, because it was restored
            // during the pause.
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
