//! The loop of the control thread: accepts connections, does their handshake, passes their packets
//! to the handlers, and ends them.
//!
//! **Panic contract.** Peers may be hostile. None of their packets makes this thread panic or wait.
//! At most [`PACKETS`] packets of one connection are handled before the others have their turn.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use mycelium_executor::Credentials;
use rustix::event::Timespec;
use rustix::io::Errno;

use super::connection::Connection;
use super::entry::{Entry, Phase, Tokens, WatchedPeer};
use super::socket::{Closers, FIRST_ID, Listener, Poller, Source};
use crate::memory::error::Gone;
use crate::sync::{AtomicBool, AtomicU64, Ordering, lock};

/// The most packets of one connection that are handled in a row.
const PACKETS: usize = 32;

/// The most packets of a dead peer that are still handled.
const LAST_PACKETS: usize = 1024;

/// The most connections that are accepted in a row.
const ACCEPTED: usize = 16;

/// How long the thread waits for the end of the peer's process after the peer has closed the
/// connection: the system closes the descriptors of a process shortly before it reports its end.
const LAST_WAIT: Duration = Duration::from_millis(20);

/// The pause before another attempt after the process ran out of descriptors, threads or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// The state of the control thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    entries: HashMap<u64, Entry>,
    /// The deadlines of handshakes, the earliest first.
    handshakes: VecDeque<(Instant, u64)>,
    /// The deadlines until which closed connections wait for the end of their processes, the
    /// earliest first.
    closed: VecDeque<(Instant, u64)>,
    /// When connections are accepted again, after a pause.
    paused_until: Option<Instant>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Worker {
        let (handshakes, closed) = (VecDeque::new(), VecDeque::new());
        Worker { shared, entries: HashMap::new(), handshakes, closed, paused_until: None }
    }

    pub(super) fn run(&mut self) {
        let mut events = Vec::new();
        loop {
            let timeout = self.timeout();
            // Fails only if the process closes descriptors that it does not own.
            let waited = self.shared.poller.wait(&mut events, timeout);
            if self.adopt() || waited.is_err() {
                return self.finish();
            }
            for (source, has_room) in &events {
                match source {
                    Source::Wake => {}
                    Source::Listener => self.accept(),
                    Source::Socket(id) => self.serve(*id, *has_room),
                    Source::Process(id) => self.bury(*id),
                }
            }
            self.expire();
        }
    }

    /// Takes over the connections that other threads have begun. Returns whether to stop.
    fn adopt(&mut self) -> bool {
        let began = self.shared.connecting().as_mut().map(std::mem::take);
        for entry in began.unwrap_or_default() {
            self.insert(entry);
        }
        self.shared.is_stopped()
    }

    fn insert(&mut self, entry: Entry) {
        let id = entry.connection.id;
        self.handshakes.push_back((now() + self.shared.limits.handshake, id));
        self.entries.insert(id, entry);
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTED {
            match self.accept_one() {
                Ok(Some(entry)) => self.insert(entry),
                Ok(None) => {}
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    // Pauses, because otherwise the connection would be reported again and again.
                    if let Some(listener) = &*self.shared.listener() {
                        listener.pause(&self.shared.poller);
                        self.paused_until = Some(now() + PAUSE);
                    }
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Accepts a connection. Returns `None` if it was closed at once.
    fn accept_one(&mut self) -> Result<Option<Entry>, Errno> {
        if !self.shared.closers.has_room() {
            return Err(Errno::NOBUFS);
        }
        let accepted = match &*self.shared.listener() {
            Some(listener) => listener.accept(&self.shared.closers)?,
            None => return Err(Errno::AGAIN),
        };
        let Some((socket, peer)) = accepted else { return Ok(None) };
        let old = self.shared.limits.assume_old_system;
        let watched = WatchedPeer::of(socket.as_fd(), peer, old);
        let has_room = watched.is_ok() && self.make_room();
        let watched = match watched {
            Ok(watched) if has_room => watched,
            other => {
                self.shared.closers.close(socket);
                let is_exhausted = matches!(other, Err(Errno::MFILE | Errno::NFILE));
                return if is_exhausted { Err(Errno::MFILE) } else { Ok(None) };
            }
        };
        let socket = Arc::new(socket);
        let connection = self.shared.connection(&socket, peer);
        let entry = Entry::accepted(connection, socket, watched);
        match entry.watch(&self.shared.poller) {
            Ok(()) => Ok(Some(entry)),
            Err(error) => {
                let reason = Gone::System(error.raw_os_error());
                entry.end(&self.shared.poller, &self.shared.closers, reason);
                Ok(None)
            }
        }
    }

    /// Makes room for one more connection: if there is none, closes the oldest connection that has
    /// not sent its `Hello`. Returns whether there is room.
    fn make_room(&mut self) -> bool {
        let accepted = self.entries.values().filter(|entry| entry.is_accepted).count();
        if accepted < self.shared.limits.connections {
            return true;
        }
        let waiting = self.entries.iter().filter(|(_, entry)| entry.phase == Phase::AwaitHello);
        let oldest = waiting.map(|(id, _)| *id).min();
        if let Some(id) = oldest {
            self.end(id, Gone::HandshakeTimeout);
        }
        oldest.is_some()
    }

    /// Handles an event of a socket.
    fn serve(&mut self, id: u64, has_room: bool) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if has_room {
            entry.connection.send_waiting();
        }
        match entry.read(&self.shared.tokens, &self.shared.closers, PACKETS) {
            Ok(()) => {}
            Err(Gone::PeerClosed) if entry.phase == Phase::Connected => {
                // The peer's process may be about to end. The connection waits for that for a
                // moment, so that a death is reported as one.
                entry.stop_reading(&self.shared.poller);
                self.closed.push_back((now() + LAST_WAIT, id));
            }
            Err(reason) => self.end(id, reason),
        }
    }

    /// Handles the end of a peer's process. Another process may still have the peer's socket, but
    /// not its regions.
    fn bury(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let reason = match entry.read(&self.shared.tokens, &self.shared.closers, LAST_PACKETS) {
            Ok(()) | Err(Gone::PeerClosed) => Gone::PeerDied,
            Err(reason) => reason,
        };
        self.end(id, reason);
    }

    fn end(&mut self, id: u64, reason: Gone) {
        if let Some(entry) = self.entries.remove(&id) {
            entry.end(&self.shared.poller, &self.shared.closers, reason);
        }
    }

    /// Handles the deadlines: of handshakes, of closed connections, and of a pause.
    fn expire(&mut self) {
        let has_deadlines = !self.handshakes.is_empty() || !self.closed.is_empty();
        if !has_deadlines && self.paused_until.is_none() {
            return;
        }
        let now = now();
        while let Some((_, id)) = self.closed.pop_front_if(|(deadline, _)| *deadline <= now) {
            self.end(id, Gone::PeerClosed);
        }
        while let Some((_, id)) = self.handshakes.pop_front_if(|(deadline, _)| *deadline <= now) {
            if self.entries.get(&id).is_some_and(|entry| entry.phase != Phase::Connected) {
                self.end(id, Gone::HandshakeTimeout);
            }
        }
        if self.paused_until.is_some_and(|end| end <= now) {
            self.paused_until = None;
            if let Some(listener) = &*self.shared.listener() {
                listener.resume(&self.shared.poller);
            }
        }
    }

    fn timeout(&mut self) -> Option<Timespec> {
        let entries = &self.entries;
        let is_done = |(_, id): &mut (Instant, u64)| {
            entries.get(id).is_none_or(|entry| entry.phase == Phase::Connected)
        };
        while self.handshakes.pop_front_if(is_done).is_some() {}
        let handshake = self.handshakes.front().map(|(deadline, _)| *deadline);
        let closed = self.closed.front().map(|(deadline, _)| *deadline);
        let again = (!self.shared.closers.catch_up()).then(|| now() + PAUSE);
        let deadlines = handshake.into_iter().chain(closed).chain(self.paused_until).chain(again);
        let next = deadlines.min()?;
        Timespec::try_from(next.saturating_duration_since(now())).ok()
    }

    fn finish(&mut self) {
        // No connection is added from now on.
        let began = self.shared.connecting().take();
        for entry in began.unwrap_or_default() {
            self.insert(entry);
        }
        if let Some(listener) = self.shared.listener().take() {
            listener.close(&self.shared.closers);
        }
        self.shared.tokens.close();
        for id in self.entries.keys().copied().collect::<Vec<_>>() {
            self.end(id, Gone::Stopped);
        }
        self.shared.closers.settle();
    }
}

#[expect(clippy::disallowed_methods, reason = "this thread waits in the kernel, for no executor")]
fn now() -> Instant {
    Instant::now()
}

// The state that the control thread shares with other threads: its limits, its tokens, its socket,
// and the connections that other threads began.

/// The limits of a control thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlLimits {
    /// The most accepted connections. If there is one more, the oldest that has not finished its
    /// handshake is closed, or the new one if all have.
    pub connections: usize,
    /// The time limit of a handshake. After it the connection is closed.
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

    /// Locks the connections that the control thread has not taken over yet. The list is `None`
    /// once it has stopped.
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
