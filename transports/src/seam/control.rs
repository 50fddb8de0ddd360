//! The control of a process's transports: their owner controls them by it and reads their progress.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::Context;

use event_listener::{Event, EventListener};

use crate::local::state::SubscriberState;
use crate::sync::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, lock};

/// The state that all transports of a process share, including links: the work that they must do,
/// and the events for which they still wait.
#[derive(Debug, Default)]
pub struct Control {
    phase: AtomicU8,
    shutdown: AtomicBool,
    /// All services had ended before a shutdown was requested.
    has_completed: AtomicBool,
    /// The last readers of this process are about to leave.
    leaves: AtomicBool,
    /// The number of announced topics that have not found their other side yet.
    unready: AtomicUsize,
    /// The number of live [`BusyGuard`]s.
    busy: AtomicUsize,
    /// Peers that will not run again, by name.
    ended_peers: Mutex<BTreeMap<String, PeerEnd>>,
    /// The number of messages that transports of the program have confirmed.
    confirmed: AtomicU64,
    /// The messages that transports of the program had to keep but have left, by reader and topic.
    left: Mutex<BTreeMap<(String, String), u64>>,
    /// The taps that block publishers: for each, its topic and its state.
    taps: Mutex<Vec<(String, Weak<SubscriberState>)>>,
    changed: Event,
    /// The processes to which names of nodes are bound.
    processes: Mutex<BTreeMap<String, u32>>,
    /// The number of changes of `processes`.
    bindings: AtomicUsize,
}

/// How a peer that will not run again has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerEnd {
    Completed,
    Gone,
}

/// The phase of a process's transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Run,
    /// Readers leave, and sent messages are still delivered.
    Drain,
    /// All links end, even if messages are undelivered.
    Stop,
    /// Nothing waits for links any more.
    Over,
}

impl Control {
    /// Begins the shutdown of the node: publishers that end from now on may come back.
    pub fn shut_down(&self) {
        self.shutdown.store(true, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    /// Announces that the last readers are about to leave, before [`drain`](Control::drain). From
    /// now on, messages that they have not finished stay unconfirmed, although no reader is left.
    pub fn leave(&self) {
        self.leaves.store(true, Ordering::Release);
    }

    /// Starts the delivery of the last messages: readers leave, and no publisher sends any more.
    pub fn drain(&self) {
        if !self.is_shutdown() {
            self.has_completed.store(true, Ordering::Release);
        }
        self.enter(Phase::Drain);
    }

    /// Ends all links, even if messages are in flight.
    pub fn stop(&self) {
        self.enter(Phase::Stop);
    }

    /// Reports that the node `peer` has completed: its process has exited successfully and will not
    /// run again.
    ///
    /// A link that reads from the peer and is connected continues until the connection ends. A link
    /// that is not connected ends: subscriptions get an inexact gap for each open stream, and then
    /// the end. No messages are kept for the peer. Topics that were announced for it, or that were
    /// to be read from it, count as found.
    ///
    /// ```
    /// # use mycelium_transports::seam::Control;
    /// let control = Control::default();
    /// control.completed("feed");
    /// ```
    pub fn completed(&self, peer: &str) {
        self.peer_ended(peer, PeerEnd::Completed);
    }

    /// Reports that the node `peer` is gone: it has failed and will not run again.
    ///
    /// Handles the end like [`completed`](Control::completed), except that messages are kept for
    /// the peer: they are undelivered, and are counted when links are [stopped](Control::stop).
    pub fn gone(&self, peer: &str) {
        self.peer_ended(peer, PeerEnd::Gone);
    }

    /// Abandons all links and transports that have not ended: they are dropped, and nothing waits
    /// for them any more.
    pub fn abandon(&self) {
        self.enter(Phase::Over);
    }

    /// Binds the name of a node to a process: from now on no other process may have the name, and a
    /// link of another process with this name ends. A later binding replaces this one.
    ///
    /// ```
    /// use mycelium_transports::seam::Control;
    ///
    /// let (control, keeper) = (Control::default(), 4711);
    /// control.bind("keeper", keeper);
    /// // The next process of the node.
    /// control.bind("keeper", keeper + 1);
    /// ```
    pub fn bind(&self, node: &str, process: u32) {
        lock(&self.processes).insert(node.to_owned(), process);
        self.bindings.fetch_add(1, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    /// Waits until [`stop`](Control::stop) is called, by which all links must end.
    pub async fn stopped(&self) {
        self.until(|| self.phase() >= Phase::Stop).await;
    }

    /// Waits until [`abandon`](Control::abandon) is called.
    pub async fn abandoned(&self) {
        self.until(|| self.phase() == Phase::Over).await;
    }

    /// Returns the number of messages that transports of the program have confirmed.
    #[must_use]
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Returns the messages that transports of the program still keep for a reader, or had to keep
    /// but have left: reader, topic, number of messages.
    #[must_use]
    pub fn left(&self) -> Vec<(String, String, usize)> {
        let mut left = lock(&self.left).clone();
        let taps = lock(&self.taps).clone();
        for (topic, tap) in taps {
            if let Some(tap) = tap.upgrade()
                && let kept @ 1.. = tap.kept()
            {
                *left.entry((tap.name.to_string(), topic)).or_default() += kept as u64;
            }
        }
        let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
        left.into_iter().map(|((reader, topic), count)| (reader, topic, number(count))).collect()
    }

    /// Returns the process to which a name is bound.
    pub(crate) fn bound(&self, node: &str) -> Option<u32> {
        lock(&self.processes).get(node).copied()
    }

    /// Returns the number of changes of bindings.
    pub(crate) fn bindings(&self) -> usize {
        self.bindings.load(Ordering::Acquire)
    }

    /// Waits until every announced topic has found its other side, and then returns true. Returns
    /// false if links must end before.
    pub async fn ready(&self) -> bool {
        let ready = || self.unready.load(Ordering::Acquire) == 0;
        self.until(|| ready() || self.phase() > Phase::Run || self.is_shutdown()).await;
        ready()
    }

    /// Waits until all links have ended, after [`drain`](Control::drain) or
    /// [`stop`](Control::stop).
    pub async fn ended(&self) {
        self.until(|| self.busy.load(Ordering::Acquire) == 0).await;
    }

    /// Whether the shutdown was requested before all services had ended. If so, publishers that end
    /// may return with the next process of the node.
    pub(crate) fn may_come_back(&self) -> bool {
        self.is_shutdown() && !self.has_completed.load(Ordering::Acquire)
    }

    /// Whether readers that leave do so because this process ends.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaves.load(Ordering::Acquire) || self.is_shutdown() || self.phase() > Phase::Run
    }

    pub(crate) fn is_shutdown(&self) -> bool {
        self.shutdown.load(Ordering::Acquire)
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Run,
            1 => Phase::Drain,
            2 => Phase::Stop,
            _ => Phase::Over,
        }
    }

    /// Returns the phase, and wakes the task when the phase changes.
    pub(crate) fn watch(
        &self,
        context: &mut Context<'_>,
        listener: &mut Option<EventListener>,
    ) -> Phase {
        loop {
            let listening = listener.get_or_insert_with(|| self.changed.listen());
            let phase = self.phase();
            if phase >= Phase::Stop || Pin::new(listening).poll(context).is_pending() {
                return phase;
            }
            *listener = None;
        }
    }

    /// Waits until no link needs to wait for `peer` any more.
    pub(crate) async fn until_unneeded(&self, peer: &str) {
        self.until(|| self.phase() > Phase::Run || self.peer_end(peer).is_some()).await;
    }

    /// Waits until the phase is not `phase`, or more than `count` peers have ended.
    pub(crate) async fn until_beyond(&self, phase: Phase, count: usize) {
        self.until(|| self.phase() != phase || lock(&self.ended_peers).len() > count).await;
    }

    /// Returns how the peer has ended; `None` if it may run again.
    pub(crate) fn peer_end(&self, peer: &str) -> Option<PeerEnd> {
        lock(&self.ended_peers).get(peer).copied()
    }

    /// Returns all peers that will not run again.
    pub(crate) fn ended_peer_names(&self) -> Vec<String> {
        lock(&self.ended_peers).keys().cloned().collect()
    }

    /// Records how a peer ended. The first report counts: a peer that has completed does not fail
    /// later.
    fn peer_ended(&self, peer: &str, end: PeerEnd) {
        lock(&self.ended_peers).entry(peer.to_owned()).or_insert(end);
        self.changed.notify(usize::MAX);
    }

    /// Counts messages that a transport of the program has confirmed.
    pub(super) fn count_confirmed(&self, count: u64) {
        self.confirmed.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds a tap that blocks publishers. [`left`](Control::left) returns the messages that it
    /// keeps.
    pub(super) fn add_tap(&self, topic: &str, tap: &Arc<SubscriberState>) {
        let mut taps = lock(&self.taps);
        taps.retain(|(_, tap)| tap.strong_count() > 0);
        taps.push((topic.to_owned(), Arc::downgrade(tap)));
    }

    /// Counts messages that a transport of the program leaves although it had to keep them for a
    /// reader. Does nothing while services run and the publisher has not ended, because the reader
    /// may leave then.
    pub(super) fn leave_messages(&self, reader: &str, topic: &str, count: u64, has_ended: bool) {
        if count > 0 && (has_ended || self.phase() > Phase::Run) {
            let of = (reader.to_owned(), topic.to_owned());
            *lock(&self.left).entry(of).or_default() += count;
        }
    }

    /// Expects `count` more topics to find their other side before this process is ready.
    pub(crate) fn expect(&self, count: usize) {
        self.unready.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts one topic of [`expect`](Control::expect): it has found its other side, or never will.
    pub(crate) fn found(&self) {
        self.unready.fetch_sub(1, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.changed.notify(usize::MAX);
    }

    /// Waits until `holds` returns true. Checks, listens, and checks again, so that no change is
    /// missed.
    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        while !holds() {
            let changed = self.changed.listen();
            if holds() {
                return;
            }
            changed.await;
        }
    }
}

/// When dropped, marks work of the links as done. Until then the links have not
/// [ended](Control::ended).
#[derive(Debug)]
pub(crate) struct BusyGuard(Arc<Control>);

impl BusyGuard {
    pub(crate) fn new(control: &Arc<Control>) -> BusyGuard {
        control.busy.fetch_add(1, Ordering::Relaxed);
        BusyGuard(control.clone())
    }

    pub(super) fn control(&self) -> &Arc<Control> {
        &self.0
    }
}

impl Clone for BusyGuard {
    fn clone(&self) -> BusyGuard {
        BusyGuard::new(&self.0)
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Release);
        self.0.changed.notify(usize::MAX);
    }
}
