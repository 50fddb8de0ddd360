//! The control connection beside a link, as the link's session uses it.
//!
//! Both sides pass the shared memory of rings over it, and wake each other. The control thread
//! calls the [`Channel`]; the session has a [`SessionChannel`], from which its task takes the
//! packets. A [`Tie`] keeps the connection open. The session has one, and so does each stream in
//! shared memory, because such a stream outlives the link's connection.
//!
//! Also in this file: why streams stay on the link ([`MemoryRefusal`]), what happens when they lose
//! their memory ([`LostMemory`]), and a timer for silence ([`QuietTimer`]).

use std::cell::{Cell, OnceCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use mycelium_core::doorbell::{Doorbell, WakePath};
use mycelium_core::link::CloseReason;
use mycelium_core::ring::region::RegionError;
use mycelium_executor::{Executor, SendFuture};

use crate::descriptor::OwnedFd;
use crate::local::{RemoteBell, SharedRing};
use crate::memory::{Connection, Gone, Handler, MemoryError, Packet, WakeSocket};
use crate::stream::{NodeLink, STREAMS};
use crate::sync::lock;

/// The most packets that wait for a session: one for each stream of a link, and as many for ended
/// streams. A peer that sends more is disconnected, because each packet may hold one of the few
/// descriptors of the process.
const MOST: usize = 2 * STREAMS;

/// A control connection, and its packets that no session has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    state: Mutex<State>,
    /// Wakes the session's task.
    bell: Doorbell,
}

#[derive(Debug, Default)]
struct State {
    /// The connection, from the time it is established until the session takes it.
    established: Option<Arc<Tie>>,
    packets: VecDeque<(Packet, Option<OwnedFd>)>,
    /// The rings to notify. The list is replaced as a whole, so that a wake-up copies it without an
    /// allocation.
    rings: Arc<[Weak<dyn SharedRing>]>,
    gone: Option<Gone>,
    /// The peer has rung by the control thread since the session looked.
    has_rung: bool,
    /// Whether the peer's process has died; `None` as long as the connection is open.
    has_died: Option<bool>,
    /// The session has ended and takes no more packets.
    is_left: bool,
}

/// An event that a session finds in its channel.
pub(crate) enum Arrival {
    Packet(Packet, Option<OwnedFd>),
    /// The connection has ended. This is the last arrival.
    Gone(Gone),
}

impl Channel {
    /// Registers the waker for later events, and returns the next packet or the end of the
    /// connection.
    pub(crate) fn take(&self, waker: &Waker) -> Option<Arrival> {
        self.bell.park(waker);
        let mut state = lock(&self.state);
        if let Some((packet, descriptor)) = state.packets.pop_front() {
            return Some(Arrival::Packet(packet, descriptor));
        }
        state.gone.take().map(Arrival::Gone)
    }

    /// Returns the connection, once, after it is established. Packets arrive only after that.
    pub(crate) fn take_established(&self) -> Option<Arc<Tie>> {
        lock(&self.state).established.take()
    }

    /// Returns whether the peer has rung by the control thread since the last call.
    fn take_rung(&self) -> bool {
        std::mem::take(&mut lock(&self.state).has_rung)
    }

    /// Adds a ring, which is then notified when the peer rings and when the connection ends.
    pub(crate) fn add(&self, ring: Weak<dyn SharedRing>) {
        let mut state = lock(&self.state);
        let used = state.rings.iter().filter(|ring| ring.strong_count() > 0).cloned();
        state.rings = used.chain([ring.clone()]).collect();
        let has_died = state.has_died;
        drop(state);
        let Some(ring) = ring.upgrade() else { return };
        match has_died {
            Some(has_died) => ring.peer_is_gone(has_died),
            // Checks the new ring at once, because the peer may have rung before it was added.
            None => ring.look(),
        }
    }

    /// Ends the session's use of the channel. The connection stays open as long as a stream has a
    /// [`Tie`].
    pub(crate) fn leave(&self) {
        let mut state = lock(&self.state);
        state.is_left = true;
        let (tie, packets) = (state.established.take(), std::mem::take(&mut state.packets));
        // Releases the lock first, because dropping the tie may end the connection.
        drop(state);
        drop((tie, packets));
    }

    /// Notifies the rings that still exist, without holding the lock.
    fn notify_rings(&self, notify: impl Fn(&dyn SharedRing)) {
        let rings = lock(&self.state).rings.clone();
        rings.iter().filter_map(Weak::upgrade).for_each(|ring| notify(&*ring));
    }

    fn notify(&self) {
        self.bell.announce_and_ring();
    }

    /// Wakes the tasks that wait at the rings, because the peer has rung.
    fn look(&self) {
        self.notify_rings(|ring| ring.look());
    }
}

impl Handler for Channel {
    fn connected(&self, connection: &Arc<Connection>) {
        let mut state = lock(&self.state);
        if state.is_left {
            return connection.close();
        }
        let (connection, wakes) = (connection.clone(), Mutex::default());
        state.established = Some(Arc::new(Tie { connection, wakes }));
        drop(state);
        self.notify();
    }

    fn packet(&self, connection: &Arc<Connection>, packet: Packet, descriptor: Option<OwnedFd>) {
        let mut state = lock(&self.state);
        if state.is_left {
            return;
        }
        if state.packets.len() >= MOST {
            return connection.close();
        }
        state.packets.push_back((packet, descriptor));
        drop(state);
        self.notify();
    }

    fn wake(&self) {
        lock(&self.state).has_rung = true;
        self.look();
    }

    fn gone(&self, reason: Gone) {
        let has_died = reason == Gone::PeerDied;
        let mut state = lock(&self.state);
        (state.gone, state.has_died) = (Some(reason), Some(has_died));
        drop(state);
        self.notify_rings(|ring| ring.peer_is_gone(has_died));
        self.notify();
    }
}

/// Closes the control connection when dropped: once neither the session nor a stream in shared
/// memory holds the tie.
#[derive(Debug)]
pub(crate) struct Tie {
    pub(super) connection: Arc<Connection>,
    /// The executors that the peer wakes directly. It wakes the control thread if this is `None`,
    /// as before the session has the tie, and after the session's end.
    wakes: Mutex<Option<Wakes>>,
}

impl RemoteBell for Tie {
    fn ring(&self, path: WakePath) {
        self.connection.wake(path);
    }

    fn own_path(&self) -> WakePath {
        let mut wakes = lock(&self.wakes);
        let number = wakes.as_mut().and_then(|wakes| wakes.number_here(&self.connection));
        number.map_or(WakePath::Thread, WakePath::Socket)
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.connection.close();
    }
}

/// The session's handle of its channel. Dropping it [leaves](Channel::leave) the channel.
pub(crate) struct SessionChannel {
    pub(super) channel: Arc<Channel>,
    /// `None` until the connection is established.
    tie: Option<Arc<Tie>>,
    executor: Arc<dyn Executor>,
    /// The reasons why streams stay on the link. `take_problems` returns them.
    pub(super) problems: Vec<String>,
}

impl SessionChannel {
    pub(crate) fn new(channel: Arc<Channel>, executor: &Arc<dyn Executor>) -> SessionChannel {
        let (executor, problems) = (executor.clone(), Vec::new());
        SessionChannel { channel, tie: None, executor, problems }
    }

    /// Registers the session's task for later events, and returns the next packet or the end of the
    /// connection.
    pub(crate) fn next(&mut self, waker: &Waker) -> Option<Arrival> {
        let arrival = self.channel.take(waker);
        if let Some(tie) = self.channel.take_established() {
            let mut wakes = Wakes { channel: self.channel.clone(), sockets: Vec::new() };
            wakes.open(&tie.connection, &self.executor);
            *lock(&tie.wakes) = Some(wakes);
            self.tie = Some(tie);
        }
        PRESENT.set(Arc::as_ptr(&self.executor).addr());
        if let Some(tie) = &self.tie
            && self.channel.take_rung()
        {
            // Perhaps because a socket is full.
            lock(&tie.wakes).iter().for_each(Wakes::empty);
            self.channel.look();
        }
        // Comes after the tie is taken: whether the end is a problem depends on the tie.
        if let Some(Arrival::Gone(reason)) = &arrival {
            self.problems.extend(self.problem(reason));
        }
        arrival
    }

    /// Describes the end of the control connection, for streams that are not in shared memory.
    /// Returns `None` if this end is no problem.
    fn problem(&self, reason: &Gone) -> Option<String> {
        let is_expected = match reason {
            Gone::PeerDied | Gone::Stopped | Gone::Closed => true,
            // This end is expected once the connection was established, because the peer closes the
            // link, too.
            Gone::PeerClosed => self.tie.is_some(),
            _ => false,
        };
        (!is_expected).then(|| format!("the control connection has ended: {reason}"))
    }

    /// Returns the reasons since the last call why streams stay on the link.
    pub(crate) fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// Returns the tie that keeps the connection open, once it is established.
    pub(crate) fn tie(&self) -> Option<&Arc<Tie>> {
        self.tie.as_ref()
    }
}

impl Drop for SessionChannel {
    fn drop(&mut self) {
        self.channel.leave();
        // From now on the peer wakes the control thread.
        let wakes = self.tie.as_ref().and_then(|tie| lock(&tie.wakes).take());
        if wakes.is_some() {
            drop(wakes);
            // The peer may have rung at a closed socket, and its task has not noticed it yet.
            self.channel.look();
        }
    }
}

// The executors that a peer wakes directly: that of the session, and those of threads that run one
// service.
//
// An executor may be used to wake a task that sleeps on a thread of that executor: while the thread
// is busy, the task could not run anyway. Tasks on other threads must not depend on it.

thread_local! {
    /// The address of the executor that has last run a session, or taken a wake, on this thread.
    static PRESENT: Cell<usize> = const { Cell::new(0) };
    /// The executor that alone runs on this thread.
    static OWN: OnceCell<Weak<dyn Executor>> = const { OnceCell::new() };
}

/// Notes that the calling thread runs only this executor, until the thread ends. Peers then wake
/// the thread's tasks, which sleep at rings in shared memory, through this executor.
pub fn dedicated_to(executor: &Arc<dyn Executor>) {
    OWN.with(|own| _ = own.set(Arc::downgrade(executor)));
}

/// The executors that the peer wakes directly, and their sockets.
#[derive(Debug)]
struct Wakes {
    channel: Arc<Channel>,
    /// Each socket's place is its number. The first one is that of the session's executor. A place
    /// without a socket is one of an executor that cannot have one.
    sockets: Vec<(Weak<dyn Executor>, Option<WakeSocket>)>,
}

impl Wakes {
    /// Returns the number of the socket by which the peer wakes tasks of the calling thread, if it
    /// has one. Opens the socket at the first call on a thread that runs one service.
    fn number_here(&mut self, connection: &Arc<Connection>) -> Option<u8> {
        OWN.try_with(|own| {
            let here = [PRESENT.get(), own.get().map_or(0, |own| own.as_ptr().addr())];
            let is_here = |(it, _): &(Weak<dyn Executor>, _)| here.contains(&it.as_ptr().addr());
            let place = self.sockets.iter().position(is_here);
            let place = place.or_else(|| self.open(connection, &own.get()?.upgrade()?))?;
            self.sockets[place].1.as_ref()?;
            u8::try_from(place).ok()
        })
        .ok()?
    }

    /// Reads all sockets. The caller must then wake the tasks that wait at the rings.
    fn empty(&self) {
        self.sockets.iter().filter_map(|(_, socket)| socket.as_ref()).for_each(WakeSocket::empty);
    }

    /// Opens the socket of an executor, in place of that of one that has ended if there is one.
    /// Returns its place, unless all are taken.
    fn open(
        &mut self,
        connection: &Arc<Connection>,
        executor: &Arc<dyn Executor>,
    ) -> Option<usize> {
        let ended = self.sockets.iter().position(|(executor, _)| executor.strong_count() == 0);
        let place = ended.unwrap_or(self.sockets.len());
        let number = u8::try_from(place).ok().filter(|number| *number < WakePath::SOCKETS)?;
        let present = Arc::as_ptr(executor).addr();
        let (channel, peer) = (self.channel.clone(), connection.clone());
        let ring = move || {
            PRESENT.set(present);
            // A panic, of a waker, ends the connection, as on the control thread.
            if catch_unwind(AssertUnwindSafe(|| channel.look())).is_err() {
                peer.close();
            }
        };
        let entry = (Arc::downgrade(executor), None);
        match self.sockets.get_mut(place) {
            // Closes the earlier socket before the peer can have the new one.
            Some(earlier) => *earlier = entry,
            None => self.sockets.push(entry),
        }
        self.sockets[place].1 = WakeSocket::open(connection, number, &**executor, ring).ok();
        Some(place)
    }
}

// Reasons why a stream stays on its link although its ring could be read in shared memory.

const NO_DESCRIPTOR: &str = "a process has no file descriptor left for the ring: raise `ulimit -n`";
const DROP_NEWEST: &str = "a `drop-newest` subscription of the topic has a ring of its own";
pub(super) const LAYOUT: &str = "messages of a program of another version are converted";
const TOO_MANY: &str = "too many rings wait for streams that are not known";

/// Why the readers' side does not read a ring in shared memory.
#[derive(Debug)]
pub(crate) enum MemoryRefusal {
    /// The memory cannot be mapped, or is not sealed.
    Memory(MemoryError),
    /// The memory does not contain a ring, or one with another identity.
    Region(RegionError),
    /// The ring is the ring of another stream.
    Other,
    /// The process has no descriptor left for the memory.
    Descriptors,
    /// The topic has a `drop-newest` subscription.
    DropNewest,
    /// Too many passed rings wait for their streams, which may have ended.
    TooMany,
    /// The messages of the ring have another layout than those of the topic here.
    Layout,
}

impl MemoryRefusal {
    /// Returns the reason as a number, for the peer.
    pub(crate) fn code(&self) -> u64 {
        match self {
            MemoryRefusal::Memory(_) => 1,
            MemoryRefusal::Region(_) => 2,
            MemoryRefusal::Other => 3,
            MemoryRefusal::Descriptors => 4,
            MemoryRefusal::TooMany => 5,
            MemoryRefusal::DropNewest => 6,
            MemoryRefusal::Layout => 7,
        }
    }

    /// Returns the text of a reason that a peer has sent.
    pub(crate) fn text(code: u64) -> &'static str {
        match code {
            1 => "it cannot map the memory of the ring",
            2 => "the memory that was passed does not contain the ring of the stream",
            3 => "the ring that was passed is not that of the stream",
            4 => NO_DESCRIPTOR,
            5 => TOO_MANY,
            6 => DROP_NEWEST,
            7 => LAYOUT,
            _ => "it refused the memory of the ring",
        }
    }
}

impl fmt::Display for MemoryRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryRefusal::Memory(error) => error.fmt(f),
            MemoryRefusal::Region(error) => error.fmt(f),
            MemoryRefusal::Other => {
                f.write_str("the ring that was passed is not that of the stream")
            }
            MemoryRefusal::Descriptors => f.write_str(NO_DESCRIPTOR),
            MemoryRefusal::TooMany => f.write_str(TOO_MANY),
            MemoryRefusal::DropNewest => f.write_str(DROP_NEWEST),
            MemoryRefusal::Layout => f.write_str(LAYOUT),
        }
    }
}

// How a link ends whose streams have lost their shared memory.
//
// The control connection ends with the peer's process. The link's socket ends, too, unless a child
// of that process keeps it open. Bytes that have arrived on the link are still read, because the
// peer may have ended in order. The link to a dead process ends when nothing has arrived for a
// moment. An executor timer measures this moment, not a number of polls: an executor checks sockets
// when it checks timers, and a task that wakes itself can be polled many times before that. If only
// the control connection has ended, the link gets a short time to end by itself.

/// How long a link may outlive the shared memory of its streams.
const GRACE: Duration = Duration::from_secs(1);
/// How often [`GRACE`] is checked: the interval of the pings of such a link.
const CHECK: Duration = Duration::from_millis(100);

/// The silence after which the link to a dead process ends.
const QUIET: Duration = Duration::from_millis(1);

/// The state of a link since its streams have lost their shared memory.
#[derive(Default)]
pub(crate) struct LostMemory {
    since: Option<Duration>,
    /// The peer's process has ended.
    is_dead: bool,
    /// Bytes have arrived since the last check.
    has_read: bool,
    /// Measures the silence of a dead process.
    quiet: QuietTimer,
}

impl LostMemory {
    /// Notes that a stream has lost its shared memory. `silence` is the silence limit of the link.
    pub(crate) fn notice(&mut self, now: Duration, silence: Duration, link: &mut NodeLink<'_>) {
        if self.since.is_none() {
            self.since = Some(now);
            // Pings more often, so that `check` is called in time.
            _ = link.set_times(CHECK.min(silence), silence);
        }
    }

    /// Notes that the control connection beside the link has ended, for this reason.
    pub(crate) fn ended(&mut self, reason: &Gone) {
        self.is_dead |= *reason == Gone::PeerDied;
    }

    /// Notes that bytes have arrived.
    #[inline(always)]
    pub(crate) fn read(&mut self) {
        self.has_read = true;
    }

    /// Closes the link if [`GRACE`] is over, or if the peer's process is dead and silent.
    pub(crate) fn check(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        executor: &dyn Executor,
        context: &mut Context<'_>,
    ) {
        let has_read = std::mem::take(&mut self.has_read);
        let is_late = self.since.is_some_and(|since| now.saturating_sub(since) >= GRACE);
        if is_late || self.is_dead && self.quiet.is_over(has_read, QUIET, executor, context) {
            link.close(now, CloseReason::Aborted);
        }
    }

    /// Resets the state, because the connection has ended.
    pub(crate) fn clear(&mut self) {
        *self = LostMemory::default();
    }
}

/// A timer of a peer's silence.
#[derive(Default)]
pub(crate) struct QuietTimer(Option<SendFuture<()>>);

impl QuietTimer {
    /// Whether the peer has done nothing for this time. `has_acted` says whether it has acted since
    /// the last call. If the time is not over, the task is woken to call this again.
    pub(crate) fn is_over(
        &mut self,
        has_acted: bool,
        limit: Duration,
        executor: &dyn Executor,
        context: &mut Context<'_>,
    ) -> bool {
        if has_acted {
            self.0 = None;
        }
        let timer = || executor.sleep_until(executor.now().saturating_add(limit));
        self.0.get_or_insert_with(timer).as_mut().poll(context).is_ready()
    }
}
