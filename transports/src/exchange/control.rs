//! What the owner of links asks of them, and whether they are ready.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use event_listener::{Event, EventListener};

use crate::sync::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// Shared by all links of a process: what they are to do, and how many things they still wait for.
#[derive(Debug, Default)]
pub struct Control {
    phase: AtomicU8,
    shutdown: AtomicBool,
    /// All services had ended by themselves before anybody asked for a shutdown.
    has_completed: AtomicBool,
    /// Its last readers are about to leave.
    leaves: AtomicBool,
    /// Topics that were announced and have not found their other side.
    unready: AtomicUsize,
    /// Tasks and taps that something still depends on.
    busy: AtomicUsize,
    /// Peers that will not come again, by name.
    past: Mutex<BTreeMap<String, PeerEnd>>,
    changed: Event,
    /// The processes to which nodes' names are bound.
    processes: Mutex<BTreeMap<String, u32>>,
    /// How often that has changed.
    bindings: AtomicUsize,
}

/// How a peer ended that will not connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerEnd {
    Completed,
    Gone,
}

/// What links are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum LinkPhase {
    Run,
    /// Readers leave; what publishers have sent is brought to an end.
    Drain,
    /// Whatever is left is left.
    Stop,
}

impl Control {
    /// Publishers that end from now on do so because the node shuts down, and may come back.
    pub fn shut_down(&self) {
        self.shutdown.store(true, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    /// The last readers are about to leave: [`drain`](Control::drain) follows. What they were not done with is not confirmed
    /// from now on, though nobody is left who could be done with it.
    pub fn leave(&self) {
        self.leaves.store(true, Ordering::Release);
    }

    /// Readers leave, publishers' messages are brought to an end: no publisher sends any more.
    pub fn drain(&self) {
        if !self.is_shutdown() {
            self.has_completed.store(true, Ordering::Release);
        }
        self.enter(LinkPhase::Drain);
    }

    /// Ends all links, whatever is on its way.
    pub fn stop(&self) {
        self.enter(LinkPhase::Stop);
    }

    /// Says that the node `peer` has completed: its process has exited with success, and there will be no other one.
    ///
    /// A client that is connected to it reads to the end of the connection. One that is not, or not any more, ends: what
    /// is missing of the streams that were open is told as a gap that is not exact, and subscriptions end. A server
    /// does not keep messages for it. Topics that were announced for it, or were to be read from it, count as found.
    ///
    /// ```
    /// # use mycelium_transports::exchange::Control;
    /// let control = Control::default();
    /// control.completed("feed");
    /// ```
    pub fn completed(&self, peer: &str) {
        self.passed(peer, PeerEnd::Completed);
    }

    /// Says that the node `peer` was given up: it has failed, and there will be no other process of it.
    ///
    /// As [`completed`](Control::completed), except that a server keeps what it has for the peer: those messages were
    /// not delivered, and are counted when links are [stopped](Control::stop).
    pub fn gone(&self, peer: &str) {
        self.passed(peer, PeerEnd::Gone);
    }

    /// Binds the name of a node to a process: no other may have it from now on, and one that is connected by this name ends
    /// its link. Binding it again, to the next process of a node, replaces that.
    ///
    /// ```
    /// use mycelium_transports::exchange::Control;
    ///
    /// let (control, keeper) = (Control::default(), 4711);
    /// control.bind("keeper", keeper);
    /// // Its next process.
    /// control.bind("keeper", keeper + 1);
    /// ```
    pub fn bind(&self, node: &str, process: u32) {
        self.processes().insert(node.to_owned(), process);
        self.bindings.fetch_add(1, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    /// Anybody may have the name of a node again.
    pub fn unbind(&self, node: &str) {
        self.processes().remove(node);
    }

    /// Ready once all links are to end, by [`stop`](Control::stop).
    pub async fn stopped(&self) {
        self.until(|| self.phase() == LinkPhase::Stop).await;
    }

    /// The process to which a name is bound.
    pub(super) fn bound(&self, node: &str) -> Option<u32> {
        self.processes().get(node).copied()
    }

    /// How often bindings have changed.
    pub(super) fn bindings(&self) -> usize {
        self.bindings.load(Ordering::Acquire)
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready once every topic that was announced has found its other side, or links are to end: says whether it is the
    /// first.
    pub async fn ready(&self) -> bool {
        let ready = || self.unready.load(Ordering::Acquire) == 0;
        self.until(|| ready() || self.phase() > LinkPhase::Run || self.is_shutdown()).await;
        ready()
    }

    /// Ready once nothing is on its way any more and all links have ended, after [`drain`](Control::drain) or
    /// [`stop`](Control::stop).
    pub async fn ended(&self) {
        self.until(|| self.busy.load(Ordering::Acquire) == 0).await;
    }

    /// Whether it was asked to end before it had done its work: what ends then may come back.
    pub(super) fn may_come_back(&self) -> bool {
        self.is_shutdown() && !self.has_completed.load(Ordering::Acquire)
    }

    /// Whether readers that leave do so because this side ends.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaves.load(Ordering::Acquire) || self.is_shutdown() || self.phase() > LinkPhase::Run
    }

    pub(super) fn is_shutdown(&self) -> bool {
        self.shutdown.load(Ordering::Acquire)
    }

    pub(super) fn phase(&self) -> LinkPhase {
        match self.phase.load(Ordering::Acquire) {
            0 => LinkPhase::Run,
            1 => LinkPhase::Drain,
            _ => LinkPhase::Stop,
        }
    }

    /// The phase, and a wake when it changes.
    pub(super) fn watch(
        &self,
        context: &mut Context<'_>,
        listener: &mut Option<EventListener>,
    ) -> LinkPhase {
        loop {
            let listening = listener.get_or_insert_with(|| self.changed.listen());
            let phase = self.phase();
            if phase == LinkPhase::Stop || Pin::new(listening).poll(context).is_pending() {
                return phase;
            }
            *listener = None;
        }
    }

    /// Ready once a client is not to wait for `peer` any more.
    pub(super) async fn until_unneeded(&self, peer: &str) {
        self.until(|| self.phase() > LinkPhase::Run || self.past(peer).is_some()).await;
    }

    /// Ready once the phase is another one than `phase`, or more peers than `count` are past.
    pub(super) async fn until_beyond(&self, phase: LinkPhase, count: usize) {
        self.until(|| self.phase() != phase || self.pasts().len() > count).await;
    }

    /// How the peer ended, if it will not come again.
    pub(super) fn past(&self, peer: &str) -> Option<PeerEnd> {
        self.pasts().get(peer).copied()
    }

    /// All peers that will not come again.
    pub(super) fn past_peers(&self) -> Vec<String> {
        self.pasts().keys().cloned().collect()
    }

    /// The first word counts: a peer that has completed was not given up.
    fn passed(&self, peer: &str, past: PeerEnd) {
        self.pasts().entry(peer.to_owned()).or_insert(past);
        self.changed.notify(usize::MAX);
    }

    fn pasts(&self) -> MutexGuard<'_, BTreeMap<String, PeerEnd>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn expect(&self, count: usize) {
        self.unready.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn found(&self) {
        self.unready.fetch_sub(1, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    fn enter(&self, phase: LinkPhase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.changed.notify(usize::MAX);
    }

    /// Check, listen, check.
    async fn until(&self, holds: impl Fn() -> bool) {
        while !holds() {
            let changed = self.changed.listen();
            if holds() {
                return;
            }
            changed.await;
        }
    }
}

/// Something that links still have to do, as long as it is there.
#[derive(Debug)]
pub(super) struct BusyGuard(Arc<Control>);

impl BusyGuard {
    pub(super) fn new(control: &Arc<Control>) -> BusyGuard {
        control.busy.fetch_add(1, Ordering::Relaxed);
        BusyGuard(control.clone())
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Release);
        self.0.changed.notify(usize::MAX);
    }
}
