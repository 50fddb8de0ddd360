//! The control connection beside a link, as the session of the link sees it.
//!
//! Over it the two sides pass the shared memory of rings, and wake each other. The control thread
//! calls the [`Channel`]; the session has a [`SessionChannel`], from which it takes the packets
//! when its task runs. A [`Tie`] keeps the connection open: the session has one, and so has each
//! stream that moved to shared memory, because such a stream outlives the link's connection.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Waker};

use mycelium_core::doorbell::{Doorbell, WakePath};
use mycelium_executor::Executor;

use crate::descriptor::OwnedFd;
use crate::local::{RemoteBell, SharedRing};
use crate::memory::{Connection, Gone, Handler, Packet, WakeSocket};
use crate::stream::STREAMS;
use crate::sync::lock;

/// The most packets that wait for a session: one for each stream of a link, and as many for streams
/// that have ended. A peer that sends more is disconnected: each packet may hold a descriptor, of
/// which a process has few.
const MOST: usize = 2 * STREAMS;

/// A control connection, and its packets that no session has taken yet.
#[derive(Default)]
pub(crate) struct Channel {
    state: Mutex<State>,
    /// Wakes the session's task.
    bell: Doorbell,
}

#[derive(Default)]
struct State {
    /// The connection, once it is established and until the session takes it.
    established: Option<Arc<Tie>>,
    packets: VecDeque<(Packet, Option<OwnedFd>)>,
    /// Replaced as a whole, so that a wake copies the list without an allocation.
    rings: Arc<[Weak<dyn SharedRing>]>,
    gone: Option<Gone>,
    /// Whether the peer's process has died; `None` as long as the connection is open.
    has_died: Option<bool>,
    /// The session has ended, and takes no more packets.
    is_left: bool,
}

/// What a session finds in its channel.
pub(crate) enum Arrival {
    Packet(Packet, Option<OwnedFd>),
    /// The connection has ended. This is the last arrival.
    Gone(Gone),
}

impl Channel {
    /// Returns the next packet or the end, and registers the waker for later ones.
    pub(crate) fn take(&self, waker: &Waker) -> Option<Arrival> {
        self.bell.park(waker);
        let mut state = lock(&self.state);
        if let Some((packet, descriptor)) = state.packets.pop_front() {
            return Some(Arrival::Packet(packet, descriptor));
        }
        state.gone.take().map(Arrival::Gone)
    }

    /// Returns the connection, once, after it is established. No packet arrives before.
    pub(crate) fn take_established(&self) -> Option<Arc<Tie>> {
        lock(&self.state).established.take()
    }

    /// Adds a ring, which is notified from now on when the peer rings and when the connection ends.
    pub(crate) fn add(&self, ring: Weak<dyn SharedRing>) {
        let mut state = lock(&self.state);
        let used = state.rings.iter().filter(|ring| ring.strong_count() > 0).cloned();
        state.rings = used.chain([ring.clone()]).collect();
        let has_died = state.has_died;
        drop(state);
        let Some(ring) = ring.upgrade() else { return };
        match has_died {
            Some(has_died) => ring.peer_is_gone(has_died),
            // Looks at a new ring at once, because the peer may have rung before the ring was
            // added.
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

    /// Notifies the rings that are still used, without the lock.
    fn notify_rings(&self, notify: impl Fn(&dyn SharedRing)) {
        let rings = lock(&self.state).rings.clone();
        rings.iter().filter_map(Weak::upgrade).for_each(|ring| notify(&*ring));
    }

    fn notify(&self) {
        self.bell.announce_and_ring();
    }
}

impl Handler for Channel {
    fn connected(&self, connection: &Arc<Connection>) {
        let mut state = lock(&self.state);
        if state.is_left {
            return connection.close();
        }
        state.established = Some(Arc::new(Tie::new(connection)));
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
        self.notify_rings(|ring| ring.look());
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

/// Keeps a control connection open.
#[derive(Debug)]
pub(crate) struct Tie {
    connection: Arc<Connection>,
    /// The executor that the peer wakes directly, if any.
    wakes: Mutex<Option<ExecutorId>>,
}

impl Tie {
    fn new(connection: &Arc<Connection>) -> Tie {
        Tie { connection: connection.clone(), wakes: Mutex::default() }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sets the executor that the peer wakes directly from now on; `None`: the control thread is
    /// woken.
    pub(crate) fn set_wakes(&self, executor: Option<ExecutorId>) {
        *lock(&self.wakes) = executor;
    }
}

impl RemoteBell for Tie {
    fn ring(&self, path: WakePath) {
        match path {
            WakePath::Executor => self.connection.wake(),
            WakePath::Thread => self.connection.wake_by_thread(),
        }
    }

    fn own_path(&self) -> WakePath {
        let is_there = lock(&self.wakes).is_some_and(|it| Some(it) == ExecutorId::present());
        if is_there { WakePath::Executor } else { WakePath::Thread }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.connection.close();
    }
}

/// The session's handle of its channel.
pub(crate) struct SessionChannel {
    channel: Arc<Channel>,
    /// `None` until the connection is established.
    tie: Option<Arc<Tie>>,
    executor: Arc<dyn Executor>,
    /// The socket by which the peer wakes the executor; `None` if the executor has none: then the
    /// peer wakes the control thread.
    wakes: Option<WakeSocket>,
}

impl SessionChannel {
    pub(crate) fn new(channel: Arc<Channel>, executor: &Arc<dyn Executor>) -> SessionChannel {
        SessionChannel { channel, tie: None, executor: executor.clone(), wakes: None }
    }

    /// Returns the next packet or the end, and wakes the tasks that the peer has rung for.
    /// Registers the session's task for later ones.
    pub(crate) fn next(&mut self, context: &mut Context<'_>) -> Option<Arrival> {
        let arrival = self.channel.take(context.waker());
        if let Some(tie) = self.channel.take_established() {
            self.wakes = WakeSocket::open(tie.connection(), &*self.executor).ok();
            tie.set_wakes(self.wakes.is_some().then(|| ExecutorId::of(&self.executor)));
            self.tie = Some(tie);
        }
        if arrival.is_none()
            && let Some(wakes) = &mut self.wakes
        {
            ExecutorId::of(&self.executor).set_present();
            if wakes.take_rung(context) {
                self.channel.wake();
            }
        }
        arrival
    }

    /// Closes the wake socket: from now on the peer wakes the control thread, because the session's
    /// task may wait for other things.
    pub(crate) fn end_wakes(&mut self) {
        if let Some(tie) = &self.tie {
            tie.set_wakes(None);
        }
        if self.wakes.take().is_some() {
            // The peer may have rung at the closed socket since the last call of `next`.
            self.channel.wake();
        }
    }

    /// Describes the end of the control connection, for streams that are not in shared memory;
    /// `None` if that end is no problem.
    pub(crate) fn problem(&self, reason: &Gone) -> Option<String> {
        let is_expected = match reason {
            Gone::PeerDied | Gone::Stopped | Gone::Closed => true,
            // This end is expected once the connection was established, because the peer closes the
            // link, too.
            Gone::PeerClosed => self.tie.is_some(),
            _ => false,
        };
        (!is_expected).then(|| format!("the control connection has ended: {reason}"))
    }

    pub(crate) fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// Returns the tie that keeps the connection open, once it is established.
    pub(crate) fn tie(&self) -> Option<&Arc<Tie>> {
        self.tie.as_ref()
    }
}

impl Drop for SessionChannel {
    fn drop(&mut self) {
        self.channel.leave();
        self.end_wakes();
    }
}

/// Identifies an executor. The executor that runs the sessions of links on a thread may be used to
/// wake a task that sleeps on that thread: while the executor is busy, that task could not run
/// either. A task on any other thread must not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecutorId(usize);

thread_local! {
    static PRESENT: Cell<Option<ExecutorId>> = const { Cell::new(None) };
}

impl ExecutorId {
    pub(crate) fn of(executor: &Arc<dyn Executor>) -> ExecutorId {
        ExecutorId(Arc::as_ptr(executor).cast::<()>().addr())
    }

    /// Returns the executor that has run a session on this thread.
    pub(crate) fn present() -> Option<ExecutorId> {
        PRESENT.get()
    }

    /// Records that this executor runs a session on this thread.
    pub(crate) fn set_present(self) {
        PRESENT.set(Some(self));
    }
}
